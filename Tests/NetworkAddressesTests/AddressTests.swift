import Glibc
import TestSupport
import Testing

@testable import NetworkAddresses

@Suite("Addresses", .watched)
struct IPAddressTests {
    @Test(
        "an address is read, and written so that it is read again",
        arguments: [
            ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("FD00:0:0::2", "fd00::2"),
            ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%1", "fe80::1%1"),
            ("fe80::1%lo", "fe80::1%1"),
        ])
    func texts(text: String, written: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == written)
        #expect(IPAddress(written) == address)
        let place = SocketAddress(address, port: 5570)
        #expect(
            unsafe place.withSystemAddress { pointer, _ in unsafe SocketAddress(pointer) } == place)
    }

    @Test(
        "what is no address is none",
        arguments: ["", "1.2.3", "127.1", "1.2.3.4.5", "::g", "fe80::1%", "fe80::1%nowhere0", "lo"])
    func none(text: String) { #expect(IPAddress(text) == nil) }

    @Test(
        "loopback is 127.0.0.0/8 and ::1, however written",
        arguments: [
            ("127.0.0.1", true), ("127.255.0.9", true), ("::1", true), ("::ffff:127.0.0.1", true),
            ("128.0.0.1", false), ("0.0.0.0", false), ("::", false), ("::2", false),
            ("::ffff:10.0.0.1", false), ("fe80::1%1", false),
        ])
    func loopback(text: String, isLoopback: Bool) throws {
        #expect(try #require(IPAddress(text)).isLoopback == isLoopback)
    }

    @Test("link-local is what means something on one link only")
    func linkLocal() throws {
        for (text, expected) in [
            ("169.254.1.1", true), ("fe80::1", true), ("febf::1", true), ("fec0::1", false),
            ("169.253.1.1", false), ("2001:db8::1", false),
        ] {
            #expect(try #require(IPAddress(text)).isLinkLocal == expected)
        }
    }
}

@Suite("Places as people write them", .watched)
struct HostPortTests {
    @Test(
        "host and port are read and written back as they were",
        arguments: [
            ("127.0.0.1:5570", HostPort.Host.address(.loopback), 5570),
            ("[::1]:1", .address(IPAddress("::1")!), 1), ("*:*", .any, 0), ("*:0", .any, 0),
            ("eth0:5570", .name("eth0"), 5570),
            ("lake.example:65535", .name("lake.example"), 65535),
            ("[::ffff:127.0.0.1]:7", .address(.loopback), 7),
        ] as [(String, HostPort.Host, UInt16)])
    func places(text: String, host: HostPort.Host, port: UInt16) throws {
        let place = try HostPort(text)
        #expect(place.host == host && place.port == port)
        #expect("\(place)" == text)
        #expect("\(place.with(port: 9))".hasSuffix(":9"))
    }

    @Test(
        "what is none is refused with the reason",
        arguments: [
            ("127.0.0.1", "no port"), ("127.0.0.1:", "no port"), ("[::1]", "no port"),
            (":5570", "no host"), ("127.0.0.1:65536", "'65536' is no port"),
            ("127.0.0.1:-1", "'-1' is no port"), ("127.0.0.1:+1", "'+1' is no port"),
            ("::1:5570", "in brackets"), ("fd00::2", "in brackets"), ("[::1:5570", "not closed"),
            ("[]:1", "no IPv6 address"), ("[10.0.0.1]:1", "no IPv6 address"),
            ("[fe80::1%nowhere0]:1", "an interface of this machine"),
            ("10.0.0:1", "no IPv4 address"), ("256.1.1.1:1", "no IPv4 address"),
            ("a b:1", "no name of a host"), ("user@host:1", "no name of a host"),
            ("host/path:1", "no name of a host"), ("", "no port"),
            ("224.0.0.1:1", "a multicast address"), ("239.1.2.3:1", "a multicast address"),
            ("[ff02::1]:1", "a multicast address"), ("255.255.255.255:1", "a broadcast address"),
        ])
    func refused(text: String, reason: String) {
        let problem = #expect(throws: AddressProblem.self) { try HostPort(text) }
        #expect(problem?.description.contains(reason) == true, "\(problem.debugDescription)")
    }
}

@Suite("Addresses of a machine", .watched)
struct NetworkInterfaceTests {
    private let all = [
        NetworkInterface("lo", .loopback), NetworkInterface("lo", IPAddress("::1")!),
        NetworkInterface("down0", IPAddress("198.51.100.1")!, isRunning: false),
        NetworkInterface("eth0", IPAddress("169.254.0.9")!),
        NetworkInterface("eth0", IPAddress("192.0.2.2")!),
        NetworkInterface("eth0", IPAddress("fe80::2")!),
        NetworkInterface("eth1", IPAddress("2001:db8::2")!),
        NetworkInterface("eth2", IPAddress("fe80::3")!),
    ]

    @Test("the address that leads off the machine is of a running interface and lasts")
    func outward() {
        #expect(NetworkInterface.outward([.v4, .v6], among: all) == IPAddress("192.0.2.2"))
        #expect(NetworkInterface.outward([.v6, .v4], among: all) == IPAddress("2001:db8::2"))
        #expect(NetworkInterface.outward([.v4], among: Array(all[..<4])) == nil)
    }

    @Test("an interface stands for its lasting addresses, or for those of its link")
    func interfaces() {
        #expect(NetworkInterface.addresses(of: "eth0", among: all) == [IPAddress("192.0.2.2")])
        #expect(NetworkInterface.addresses(of: "eth2", among: all) == [IPAddress("fe80::3")])
        #expect(NetworkInterface.addresses(of: "eth9", among: all).isEmpty)
    }

    @Test("a name's addresses that are this machine's are listened at, the others are not")
    func owned() {
        let found = ["192.0.2.9", "127.0.1.1", "2001:db8::2", "::1"].map { IPAddress($0)! }
        #expect(NetworkInterface.owned(found, among: all) == Array(found.dropFirst()))
        #expect(NetworkInterface.owned(found, among: []) == [found[1]])
    }

    @Test("a network's broadcast address is known by its interface")
    func broadcast() throws {
        let all = [
            NetworkInterface("lo", .loopback, broadcast: .loopback),
            NetworkInterface(
                "eth0", IPAddress("192.0.2.2")!, broadcast: IPAddress("192.0.2.255")!),
        ]
        #expect(try #require(IPAddress("192.0.2.255")).isBroadcast(among: all))
        #expect(try !#require(IPAddress("192.0.2.254")).isBroadcast(among: all))
        #expect(!IPAddress.loopback.isBroadcast(among: all))
    }

    /// The names of interfaces without an address.
    static let bare: [String] = (UInt32(1)...64).compactMap { index in
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(index, &name) != nil else { return nil }
        let bytes = name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
        let text = String(decoding: bytes, as: UTF8.self)
        return NetworkInterface.exists(text) ? nil : text
    }

    @Test(
        "an interface without an address is said to have none",
        .enabled(if: !NetworkInterfaceTests.bare.isEmpty, "every interface here has an address"))
    func bareInterface() throws {
        let name = Self.bare[0]
        #expect(throws: LookupFailure.bareInterface(name)) { try Lookup.here(name) }
        #expect(throws: LookupFailure.bareInterface(name)) { try Lookup.machine(name) }
        #expect(
            "\(LookupFailure.bareInterface("eth9"))" == "the interface 'eth9' has no address")
    }

    @Test("loopback's interface and name are known, a name of nobody is not")
    func system() throws {
        #expect(try Lookup.here("lo").contains(.loopback))
        #expect(try Lookup.machine("localhost").allSatisfy(\.isLoopback))
        #expect(throws: LookupFailure.self) { try Lookup.machine("no-such-host.invalid") }
        #expect(Lookup.obstacle(to: SocketAddress(.loopback, port: 1)) == nil)
    }
}
