// nft without its interactive mode, and without the four libraries that serve only that: a third of what nft is made of.
// The same libnftables does the work. As in nft: -j speaks JSON, -f FILE reads commands ("-" is standard input), and what
// remains is a command.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// libnftables(3). Declared here because only the library itself is in Debian's nftables, not its header.
struct nft_ctx;
struct nft_ctx *nft_ctx_new(unsigned int flags);
void nft_ctx_free(struct nft_ctx *ctx);
void nft_ctx_output_set_flags(struct nft_ctx *ctx, unsigned int flags);
int nft_run_cmd_from_buffer(struct nft_ctx *ctx, const char *buffer);
int nft_run_cmd_from_filename(struct nft_ctx *ctx, const char *filename);

enum { NFT_CTX_DEFAULT = 0, NFT_CTX_OUTPUT_JSON = 1 << 4 };

static int usage(void)
{
	fputs("usage: nft [-j] -f FILE | COMMAND...\n", stderr);
	return EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	const char *file = NULL;
	unsigned int flags = 0;
	char command[4096] = "";
	size_t length = 0;
	int option, failed;

	while ((option = getopt(argc, argv, "+jf:")) != -1) {
		if (option == 'j')
			flags |= NFT_CTX_OUTPUT_JSON;
		else if (option == 'f')
			file = optarg;
		else
			return usage();
	}
	for (; optind < argc && length < sizeof(command); optind++)
		length += snprintf(command + length, sizeof(command) - length, "%s ", argv[optind]);
	if (length >= sizeof(command) || !file == !length)
		return usage();

	struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!ctx)
		return EXIT_FAILURE;
	nft_ctx_output_set_flags(ctx, flags);
	failed = file ? nft_run_cmd_from_filename(ctx, file) : nft_run_cmd_from_buffer(ctx, command);
	nft_ctx_free(ctx);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
