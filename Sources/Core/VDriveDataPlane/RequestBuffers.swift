package import Linux

/// The memory of write requests on their way to the engine: many small buffers, and some that hold any request.
///
/// Writers may wait for room for minutes, and each keeps its buffer. A FUSE thread that waits for one serves no hit and
/// takes no flush meanwhile, and there are few. Deep queues are made of small requests, so there is a small buffer for
/// everything that the kernel keeps in flight; what is large is bounded by the memory that it takes, and waits here.
///
/// Memory: address space from the beginning, real memory where it was once used, 84 MiB a disk at most.
package final class RequestBuffers: Sendable {
    private let small: BufferPool
    private let large: BufferPool

    package init() throws(Errno) {
        small = try BufferPool(
            count: DataPlaneLimits.smallBuffers,
            bufferBytes: DataPlaneLimits.smallRequestBytesMax
        )
        large = try BufferPool(
            count: DataPlaneLimits.largeBuffers,
            bufferBytes: DataPlaneLimits.requestBytesMax
        )
    }

    /// Takes a buffer that holds a request, waiting (the thread blocks) until one is free.
    ///
    /// - Parameter count: bytes, at most `requestBytesMax`.
    package func lease(for count: Int) -> PooledBuffer {
        count <= small.bufferBytes ? small.lease() : large.lease()
    }
}
