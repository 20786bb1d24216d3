internal import CZstd

/// A zstd compression context, reused from frame to frame.
///
/// Every frame that it makes carries its content size and its content checksum. Not for use from two threads at once:
/// it is not Sendable, and `withThreadContext` lends the calling thread its own.
package final class Compressor {
    /// 1 is the fastest; above 19 lie zstd's "ultra" levels, whose memory no daemon should take.
    package static let levels = 1...19
    package static let levelDefault = 3

    private let context: OpaquePointer

    package init() {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("no memory for a zstd context") }
        self.context = context
        Self.set(context, ZSTD_c_contentSizeFlag, 1)
        Self.set(context, ZSTD_c_checksumFlag, 1)
    }

    deinit { ZSTD_freeCCtx(context) }

    /// The most bytes that `count` bytes can take when compressed.
    package static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// Compresses into one frame. The corresponding C function is `ZSTD_compress2`.
    ///
    /// - Parameter level: in `levels`.
    /// - Returns: the frame's length in bytes.
    /// - Throws: `outputFull` when the frame does not fit into `target`, which a caller may want to know.
    package func compress(
        _ source: UnsafeRawBufferPointer,
        into target: UnsafeMutableRawBufferPointer,
        level: Int = Compressor.levelDefault
    ) throws(CodecError) -> Int {
        precondition(Self.levels.contains(level), "compression level \(level)")
        Self.set(context, ZSTD_c_compressionLevel, Int32(level))
        let length = ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
        guard ZSTD_isError(length) == 0 else {
            if ZSTD_getErrorCode(length) == ZSTD_error_dstSize_tooSmall { throw .outputFull }
            throw .damaged(String(cString: ZSTD_getErrorName(length)))
        }
        return length
    }

    /// Compresses into one frame of its own array.
    package func compress(_ bytes: [UInt8], level: Int = Compressor.levelDefault) -> [UInt8] {
        let bound = Self.bound(bytes.count)
        return [UInt8](unsafeUninitializedCapacity: bound) { target, count in
            bytes.withUnsafeBytes { source in
                do {
                    count = try compress(source, into: UnsafeMutableRawBufferPointer(target), level: level)
                } catch {
                    preconditionFailure("compressing \(source.count) bytes into \(bound): \(error)")
                }
            }
        }
    }

    /// Lends the calling thread's own compressor, made at its first use and freed when the thread ends.
    ///
    /// Do not keep it: after the closure another user of this thread may hold it.
    package static func withThreadContext<Result, Failure: Error>(
        _ body: (Compressor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(threadCompressor.value { Compressor() })
    }

    private static func set(_ context: OpaquePointer, _ parameter: ZSTD_cParameter, _ value: Int32) {
        let code = ZSTD_CCtx_setParameter(context, parameter, value)
        precondition(ZSTD_isError(code) == 0, "zstd parameter \(parameter.rawValue) = \(value)")
    }
}

private let threadCompressor = PerThread<Compressor>()
