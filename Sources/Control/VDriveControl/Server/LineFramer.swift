package import NIOCore
import VDriveProtocol

/// What the bytes of a connection are cut into.
package enum InboundLine: Equatable, Sendable {
    /// One line without its newline, not empty.
    case line(ByteBuffer)
    /// A line beyond the limit; nothing follows it.
    case tooLong
}

/// Cuts bytes into lines, holding at most one line of the longest kind.
///
/// A last line without a newline counts as a line; empty ones, as between lines that end in CR LF, are skipped.
package struct LineFramer: ByteToMessageDecoder {
    package typealias InboundOut = InboundLine

    private let lineBytesMax: Int
    /// Bytes of the unfinished line that are known to hold no newline, so that a slow line costs linear time.
    private var searched = 0
    private var isBroken = false

    package init(lineBytesMax: Int = RPCLimits.lineBytesMax) {
        self.lineBytesMax = lineBytesMax
    }

    package mutating func decode(
        context: ChannelHandlerContext,
        buffer: inout ByteBuffer
    ) throws -> DecodingState {
        guard let line = next(&buffer) else { return .needMoreData }
        context.fireChannelRead(Self.wrapInboundOut(line))
        return .continue
    }

    package mutating func decodeLast(
        context: ChannelHandlerContext,
        buffer: inout ByteBuffer,
        seenEOF: Bool
    ) throws -> DecodingState {
        while let line = next(&buffer) { context.fireChannelRead(Self.wrapInboundOut(line)) }
        if !isBroken, let rest = buffer.readSlice(length: buffer.readableBytes), let line = Self.line(rest) {
            context.fireChannelRead(Self.wrapInboundOut(line))
        }
        return .needMoreData
    }

    /// Takes the next line that is not empty out of the buffer; nil until more bytes come.
    package mutating func next(_ buffer: inout ByteBuffer) -> InboundLine? {
        guard !isBroken else {
            buffer.clear()
            return nil
        }
        while true {
            let unread = buffer.readableBytesView.dropFirst(searched)
            guard let newline = unread.firstIndex(of: UInt8(ascii: "\n")) else {
                searched = buffer.readableBytes
                return searched > lineBytesMax ? breakOff(&buffer) : nil
            }
            let length = newline - buffer.readerIndex
            guard length <= lineBytesMax else { return breakOff(&buffer) }
            searched = 0
            let slice = buffer.readSlice(length: length)
            buffer.moveReaderIndex(forwardBy: 1)
            if let line = slice.flatMap(Self.line) { return line }
        }
    }

    private mutating func breakOff(_ buffer: inout ByteBuffer) -> InboundLine {
        isBroken = true
        buffer.clear()
        return .tooLong
    }

    private static func line(_ slice: ByteBuffer) -> InboundLine? {
        let isBlank = slice.readableBytesView.allSatisfy { $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: " ") }
        return isBlank ? nil : .line(slice)
    }
}
