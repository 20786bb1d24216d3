internal import CZstd

/// A zstd decompression context, reused from frame to frame. Not for use from two threads at once.
package final class Decompressor {
    private let context: OpaquePointer

    package init() {
        guard let context = ZSTD_createDCtx() else { preconditionFailure("no memory for a zstd context") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Decompresses exactly one frame into exactly `target`. The corresponding C function is `ZSTD_decompressDCtx`.
    ///
    /// The frame must carry its content size, equal to `target.count`, and a content checksum, which libzstd verifies;
    /// nothing may follow it. After an error `target` holds anything.
    package func decompress(
        _ source: UnsafeRawBufferPointer,
        into target: UnsafeMutableRawBufferPointer
    ) throws(CodecError) {
        // Byte 4 is the frame header descriptor. Of its low five bits only the checksum flag may be set: no dictionary,
        // nothing in the bits that zstd reserves or ignores.
        guard source.count > 5, source[4] & 0b1_1111 == 0b0_0100,
            source.loadUnaligned(as: UInt32.self) == UInt32(littleEndian: ZSTD_MAGICNUMBER),
            ZSTD_findFrameCompressedSize(source.baseAddress, source.count) == source.count
        else { throw .notOneFrame }
        let content = ZSTD_getFrameContentSize(source.baseAddress, source.count)
        // The two values that mean "unknown" and "error" lie above every size that can be asked for.
        guard content == UInt64(target.count) else {
            throw .contentBytes(found: content, expected: UInt64(target.count))
        }
        let length = ZSTD_decompressDCtx(context, target.baseAddress, target.count, source.baseAddress, source.count)
        guard ZSTD_isError(length) == 0 else { throw .damaged(String(cString: ZSTD_getErrorName(length))) }
        guard length == target.count else {
            throw .contentBytes(found: UInt64(length), expected: UInt64(target.count))
        }
    }

    /// Decompresses exactly one frame into an array.
    ///
    /// - Parameter count: bytes that the frame must hold; the caller has bounded it.
    package func decompress(_ source: UnsafeRawBufferPointer, count: Int) throws(CodecError) -> [UInt8] {
        var failure: CodecError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
            do throws(CodecError) {
                try decompress(source, into: UnsafeMutableRawBufferPointer(target))
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The same for bytes in an array or a slice of one.
    package func decompress(_ source: some ContiguousBytesOfUInt8, count: Int) throws(CodecError) -> [UInt8] {
        var result: Result<[UInt8], CodecError> = .success([])
        source.withUnsafeBytes { bytes in
            do throws(CodecError) {
                result = .success(try decompress(bytes, count: count))
            } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    /// Lends the calling thread's own decompressor, made at its first use and freed when the thread ends.
    ///
    /// Do not keep it: after the closure another user of this thread may hold it.
    package static func withThreadContext<Result, Failure: Error>(
        _ body: (Decompressor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(threadDecompressor.value { Decompressor() })
    }
}

private let threadDecompressor = PerThread<Decompressor>()
