internal import Linux

/// How a reply reaches the kernel: C-convention functions over an opaque request, so that neither side imports the
/// other.
package struct ReplyTable: Sendable {
    package typealias Request = UnsafeMutableRawPointer
    package var bytes: @convention(c) (Request, UnsafeRawPointer, Int) -> Void
    package var file: @convention(c) (Request, CInt, UInt64, Int) -> Void
    package var wrote: @convention(c) (Request, Int) -> Void
    package var offset: @convention(c) (Request, UInt64) -> Void
    package var error: @convention(c) (Request, CInt) -> Void

    package init(
        bytes: @convention(c) (Request, UnsafeRawPointer, Int) -> Void,
        file: @convention(c) (Request, CInt, UInt64, Int) -> Void,
        wrote: @convention(c) (Request, Int) -> Void,
        offset: @convention(c) (Request, UInt64) -> Void,
        error: @convention(c) (Request, CInt) -> Void
    ) {
        self.bytes = bytes
        self.file = file
        self.wrote = wrote
        self.offset = offset
        self.error = error
    }
}

/// The duty to answer one request exactly once. Dropping it unanswered is a bug, and traps.
package struct ReplyHandle: ~Copyable, @unchecked Sendable {
    // SAFETY: the request pointer is the kernel side's own; the table says that it may be answered from any thread.
    private let request: ReplyTable.Request
    private let table: UnsafePointer<ReplyTable>
    private var answered = false

    package init(request: ReplyTable.Request, table: UnsafePointer<ReplyTable>) {
        self.request = request
        self.table = table
    }

    /// For a request that nobody waits for.
    static func nobody() -> ReplyHandle {
        ReplyHandle(request: UnsafeMutableRawPointer(mutating: silence), table: silence)
    }

    /// SAFETY: written once, then only read.
    private nonisolated(unsafe) static let silence: UnsafePointer<ReplyTable> = {
        let table = UnsafeMutablePointer<ReplyTable>.allocate(capacity: 1)
        table.initialize(
            to: ReplyTable(
                bytes: { _, _, _ in },
                file: { _, _, _, _ in },
                wrote: { _, _ in },
                offset: { _, _ in },
                error: { _, _ in }
            )
        )
        return UnsafePointer(table)
    }()

    deinit { if !answered { Self.unanswered() } }

    private static func unanswered() { preconditionFailure("a request was dropped without an answer") }

    /// Answers a read with bytes in memory.
    package consuming func bytes(_ bytes: UnsafeRawBufferPointer) {
        answered = true
        table.pointee.bytes(request, bytes.baseAddress!, bytes.count)
    }

    /// Answers a read from a file; the bytes must stay as they are until this returns.
    package consuming func file(_ descriptor: CInt, position: UInt64, count: Int) {
        answered = true
        table.pointee.file(request, descriptor, position, count)
    }

    /// Answers a write.
    package consuming func wrote(_ count: Int) {
        answered = true
        table.pointee.wrote(request, count)
    }

    /// Answers a seek.
    package consuming func offset(_ offset: UInt64) {
        answered = true
        table.pointee.offset(request, offset)
    }

    /// Answers anything with an errno; 0 says that a flush or a punch is done.
    package consuming func error(_ code: CInt) {
        answered = true
        table.pointee.error(request, code)
    }
}
