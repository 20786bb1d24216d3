import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Many clients, and bad ones: what they cost a real daemon's memory, and what the others notice of them.
    @Suite(.serialized)
    struct ControlLoadTests {
        /// An optimised daemon takes a third of it.
        private static let idleBytesMax = 64 << 20
        /// For each of 200 clients what it has sent, an answer on its way, and 64 calls at work.
        private static let deafBytesMax = 96 << 20

        private static func version(_ id: Int) -> String {
            #"{"jsonrpc":"2.0","id":\#(id),"method":"daemon.version"}"# + "\n"
        }

        /// How long a call takes on a connection of its own.
        private func wait(_ daemon: DaemonUnderTest) async throws -> Double {
            let socket = daemon.socket
            return try await seconds {
                try await blocking {
                    let client = try RawClient(socket, secondsMax: 60)
                    try client.send(Self.version(1))
                    #expect(try client.json()?["id"] == .integer(1))
                }
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a thousand idle connections cost little, and nothing once they are gone`() async throws {
            try ProcessFlags.raiseFileLimit()
            try await DaemonUnderTest.use("idle") { daemon in
                _ = try await wait(daemon)
                let before = try daemon.residentBytes()
                let socket = daemon.socket
                let clients = try await blocking { try (0..<1000).map { _ in try RawClient(socket) } }
                _ = try await wait(daemon)
                let grown = try daemon.residentBytes() - before
                say("1,000 idle connections add \(mebibytes(grown)) MiB to \(mebibytes(before))")
                #expect(grown < Self.idleBytesMax)
                // They are no dead weight: each is answered.
                try await blocking {
                    for (id, client) in clients.enumerated() { try client.send(Self.version(id)) }
                    for (id, client) in clients.enumerated() {
                        #expect(try client.json()?["id"] == .integer(Int64(id)))
                    }
                }
                withExtendedLifetime(clients) {}
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func `10,000 calls at once leave no memory behind`() async throws {
            try await DaemonUnderTest.use("flood") { daemon in
                _ = try await wait(daemon)
                let before = try daemon.residentBytes()
                let socket = daemon.socket
                let client = try await blocking { try RawClient(socket, secondsMax: 60) }
                async let sending: Void = blocking {
                    try client.send((0..<10_000).map(Self.version).joined())
                }
                try await blocking {
                    var ids: Set<JSONValue> = []
                    for _ in 0..<10_000 { ids.insert(try client.json()?["id"] ?? .null) }
                    #expect(ids.count == 10_000)
                }
                try await sending
                let grown = try daemon.residentBytes() - before
                say("10,000 calls at once add \(mebibytes(grown)) MiB")
                #expect(grown < 32 << 20)
            }
        }

        @Test(.timeLimit(.minutes(5)), arguments: ["daemon.version", "rpc.discover"])
        func `200 clients that never read are bounded, and the others are served`(method: String) async throws {
            try ProcessFlags.raiseFileLimit()
            try await DaemonUnderTest.use("deaf") { daemon in
                _ = try await wait(daemon)
                let before = try daemon.residentBytes()
                let socket = daemon.socket
                let line = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)"}"# + "\n"
                // As much as the kernel takes at once; where it takes no more, the daemon has stopped reading.
                let clients = try await blocking { () -> [RawClient] in
                    let clients = try (0..<200).map { _ in try RawClient(socket, secondsMax: 1) }
                    for client in clients { try client.send(String(repeating: line, count: 1000)) }
                    return clients
                }
                var peak = 0
                var longest = 0.0
                for _ in 0..<10 {
                    longest = max(longest, try await wait(daemon))
                    peak = max(peak, try daemon.residentBytes() - before)
                    try await Task.sleep(for: .milliseconds(200))
                }
                say("200 deaf clients of \(method): \(mebibytes(peak)) MiB, others wait \(text(longest)) s at most")
                #expect(peak < Self.deafBytesMax)
                #expect(longest < 30)
                withExtendedLifetime(clients) {}
            }
        }
    }
}
