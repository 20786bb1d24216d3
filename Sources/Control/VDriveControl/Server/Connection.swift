import Logging
import NIOCore
import ServiceLifecycle
import VDriveProtocol

/// One client: reads lines, runs their calls at the same time, and writes each answer when it is there.
struct Connection: Sendable {
    /// Calls of one connection at the same time. Long ones (a sync) must not keep a person's `status` out; a thousand
    /// connections with all places taken must not exhaust the memory.
    static let callsMax = 64

    let channel: NIOAsyncChannel<InboundLine, ByteBuffer>
    let peer: PeerCredentials
    let table: DispatchTable
    let policy: AccessPolicy
    let logger: Logger

    /// Serves until the client has closed its side and all its calls are answered, or until it is cut off.
    func run() async {
        table.traffic.noteConnection()
        defer { table.traffic.noteDisconnection() }
        do {
            try await channel.executeThenClose { inbound, outbound in
                guard policy.allows(peer) else { return try await refuse(outbound) }
                try await withGracefulShutdownHandler {
                    try await serve(inbound, outbound)
                } onGracefulShutdown: {
                    // No more lines; the calls that run are still answered.
                    channel.channel.close(mode: .input, promise: nil)
                }
            }
        } catch {
            // A client may go at any time; its calls have run to their end all the same.
            logger.debug("connection ended", metadata: ["pid": "\(peer.pid)", "reason": "\(error)"])
        }
    }

    private func refuse(_ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws {
        logger.warning("connection refused", metadata: ["uid": "\(peer.uid)", "pid": "\(peer.pid)"])
        let error = RPCError(.refused, "Only root and the daemon's user may use this socket.")
        try await write(RPCResponse(id: .null, outcome: .failure(error)).line, to: outbound)
    }

    private func serve(
        _ inbound: NIOAsyncChannelInboundStream<InboundLine>,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        let gate = CallGate(places: Self.callsMax)
        try await withThrowingDiscardingTaskGroup { group in
            for try await line in inbound {
                guard case .line(let bytes) = line else {
                    let error = RPCError(.invalidRequest, "A line has at most \(RPCLimits.lineBytesMax) bytes.")
                    // The calls before it are still answered; the connection cannot be understood any further.
                    return try await write(RPCResponse(id: .null, outcome: .failure(error)).line, to: outbound)
                }
                await gate.enter()
                group.addTask {
                    defer { gate.leave() }
                    if let answer = await answer(bytes) { try await write(answer, to: outbound) }
                }
            }
        }
    }

    private func answer(_ bytes: ByteBuffer) async -> String? {
        do throws(RPCError) {
            switch try RPCLine(parsing: bytes.readableBytesView) {
            case .single(let call): return await table.answer(call)
            case .batch(let calls): return await table.answer(calls)
            }
        } catch {
            return RPCResponse(id: .null, outcome: .failure(error)).line
        }
    }

    private func write(_ line: String, to outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws {
        var buffer = channel.channel.allocator.buffer(capacity: line.utf8.count + 1)
        buffer.writeString(line)
        buffer.writeInteger(UInt8(ascii: "\n"))
        try await outbound.write(buffer)
    }
}
