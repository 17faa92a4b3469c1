//! The server as its clients see it.

use dhcproto::{Encodable, v4::Flags};

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
const TAKEN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 150);
const ABROAD: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const START: Duration = Duration::ZERO;
const EVERYBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);

fn server() -> Server {
    Server::new(Subnet::default(), LeaseTime::default())
}

fn message(client: u8, kind: MessageType, ciaddr: Ipv4Addr) -> Message {
    let mut message = Message::new_with_id(7, ciaddr, NONE, NONE, NONE, &[2, 0, 0, 0, 0, client]);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    message
}

fn with(mut message: Message, option: DhcpOption) -> Message {
    message.opts_mut().insert(option);
    message
}

fn discover(client: u8) -> Message {
    message(client, MessageType::Discover, NONE)
}

/// In INIT-REBOOT.
fn reboot(client: u8, address: Ipv4Addr) -> Message {
    with(message(client, MessageType::Request, NONE), DhcpOption::RequestedIpAddress(address))
}

fn select(client: u8, server: Ipv4Addr, address: Ipv4Addr) -> Message {
    with(reboot(client, address), DhcpOption::ServerIdentifier(server))
}

/// In RENEWING and REBINDING, which differ in where the client sends it.
fn renew(client: u8, address: Ipv4Addr) -> Message {
    message(client, MessageType::Request, address)
}

fn ask(server: &mut Server, message: &Message, now: Duration) -> Option<Reply> {
    server.answer(&message.to_vec().expect("a message that can be encoded"), now)
}

fn said(reply: Option<Reply>) -> Option<(MessageType, Ipv4Addr, SocketAddrV4)> {
    reply.map(|Reply { message, to }| (message.opts().msg_type().expect("a type"), message.yiaddr(), to))
}

#[test]
fn a_discover_is_offered_an_address_with_all_its_parameters() {
    let mut question = with(discover(1), DhcpOption::ClientIdentifier(vec![0, b'x']));
    question.set_flags(Flags::default().set_broadcast());
    let Reply { message, to } = ask(&mut server(), &question, START).expect("an offer");
    assert_eq!(
        (message.opcode(), message.xid(), message.yiaddr(), to),
        (Opcode::BootReply, 7, FIRST, EVERYBODY)
    );
    assert_eq!((message.chaddr(), message.flags().broadcast()), (question.chaddr(), true));
    let options: Vec<DhcpOption> = message.opts().iter().map(|(_, option)| option.clone()).collect();
    let expected = [
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Router(vec![SERVER]),
        DhcpOption::DomainNameServer(vec![SERVER]),
        DhcpOption::AddressLeaseTime(3600),
        DhcpOption::MessageType(MessageType::Offer),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::Renewal(1800),
        DhcpOption::Rebinding(3150),
        DhcpOption::ClientIdentifier(vec![0, b'x']),
    ];
    assert_eq!(options, expected);
}

#[test]
fn a_request_is_acknowledged_or_denied_by_who_holds_the_address() {
    let ack = |address, to| Some((MessageType::Ack, address, to));
    let nak = Some((MessageType::Nak, NONE, EVERYBODY));
    let outside_the_pool = Ipv4Addr::new(10, 77, 0, 5);
    let table = [
        ("selecting", select(1, SERVER, FIRST), ack(FIRST, EVERYBODY)),
        ("selecting another server", select(1, ABROAD, FIRST), None),
        ("selecting what is not free", select(1, SERVER, TAKEN), nak),
        ("rebooting", reboot(1, SECOND), ack(SECOND, EVERYBODY)),
        ("rebooting into what is not free", reboot(1, TAKEN), nak),
        ("rebooting from another network", reboot(1, ABROAD), nak),
        ("rebooting outside the pool", reboot(1, outside_the_pool), nak),
        ("renewing", renew(2, TAKEN), ack(TAKEN, SocketAddrV4::new(TAKEN, 68))),
        ("renewing what the server forgot", renew(1, SECOND), ack(SECOND, SocketAddrV4::new(SECOND, 68))),
        ("renewing the address of another", renew(1, TAKEN), nak),
        ("renewing an address of another network", renew(1, ABROAD), nak),
        ("asking for nothing", renew(1, NONE), None),
    ];
    for (case, request, expected) in table {
        // Given client 1 with an offer of FIRST, and client 2 with a lease of TAKEN
        let mut server = server();
        ask(&mut server, &discover(1), START);
        ask(&mut server, &reboot(2, TAKEN), START);
        assert_eq!(said(ask(&mut server, &request, START)), expected, "{case}");
    }
}

#[test]
fn a_denial_names_the_server_and_no_parameters() {
    let Reply { message, .. } = ask(&mut server(), &renew(1, ABROAD), START).expect("a denial");
    let options: Vec<DhcpOption> = message.opts().iter().map(|(_, option)| option.clone()).collect();
    let expected = [DhcpOption::MessageType(MessageType::Nak), DhcpOption::ServerIdentifier(SERVER)];
    assert_eq!((message.ciaddr(), options), (NONE, expected.to_vec()));
}

#[test]
fn a_renewal_extends_the_lease() {
    let mut server = server();
    ask(&mut server, &reboot(1, FIRST), START);
    ask(&mut server, &renew(1, FIRST), Duration::from_secs(3599));
    let refused = ask(&mut server, &reboot(2, FIRST), Duration::from_secs(3600 + 3598));
    assert_eq!(said(refused).map(|(kind, ..)| kind), Some(MessageType::Nak));
    let granted = ask(&mut server, &reboot(2, FIRST), Duration::from_secs(3600 + 3599));
    assert_eq!(said(granted).map(|(kind, ..)| kind), Some(MessageType::Ack));
}

#[test]
fn a_released_address_is_anybodys_and_a_declined_one_nobodys() {
    let decline = with(message(1, MessageType::Decline, NONE), DhcpOption::RequestedIpAddress(FIRST));
    let table = [(message(1, MessageType::Release, FIRST), MessageType::Ack), (decline, MessageType::Nak)];
    for (farewell, expected) in table {
        // Given a client with a lease
        let mut server = server();
        ask(&mut server, &reboot(1, FIRST), START);
        // When it gives the lease up
        assert!(ask(&mut server, &farewell, START).is_none());
        // Then another one asks for the address
        assert_eq!(said(ask(&mut server, &reboot(2, FIRST), START)).map(|(kind, ..)| kind), Some(expected));
    }
}

#[test]
fn two_clients_of_one_hardware_address_are_told_apart_by_their_identifiers() {
    let mut server = server();
    let identified = with(discover(1), DhcpOption::ClientIdentifier(vec![0, b'x']));
    let offered = [discover(1), identified.clone(), discover(1), identified]
        .map(|message| said(ask(&mut server, &message, START)).map(|(_, address, _)| address));
    assert_eq!(offered, [Some(FIRST), Some(SECOND), Some(FIRST), Some(SECOND)]);
}

#[test]
fn an_exhausted_pool_is_silent() {
    let mut server = server();
    for client in 0..151 {
        assert!(ask(&mut server, &discover(client), START).is_some(), "client {client}");
    }
    assert!(ask(&mut server, &discover(200), START).is_none());
}
