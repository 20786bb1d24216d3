package import NIOCore

/// Closes a connection whose client does not read what it asked for.
///
/// While the channel's buffer is full, calls wait in their writes and no more lines are read, so the memory of such a
/// client is bounded; this ends the wait. It lives on the channel's event loop alone.
package final class SlowReaderGuard: ChannelInboundHandler {
    package typealias InboundIn = Any

    private let patience: TimeAmount
    private var deadline: Scheduled<Void>?

    /// - Parameter patience: how long the buffer may stay full.
    package init(patience: TimeAmount) {
        self.patience = patience
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = nil
        if !context.channel.isWritable {
            let channel = context.channel
            deadline = context.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
        }
        context.fireChannelWritabilityChanged()
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = nil
    }
}
