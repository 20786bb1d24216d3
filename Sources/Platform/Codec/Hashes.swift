internal import CXXHash

/// XXH3, 64 bits, seed 0: the hash of chunks' contents and of map and commit objects.
package enum XXH3 {
    /// The corresponding C function is `XXH3_64bits`.
    package static func hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    package static func hash64(_ bytes: some ContiguousBytesOfUInt8) -> UInt64 {
        bytes.withUnsafeBytes { hash64($0) }
    }
}

/// XXH64, seed 0: the checksum of the zstd formats, which keep its low 32 bits.
package enum XXH64 {
    /// The corresponding C function is `XXH64`.
    package static func hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        CXXHash.XXH64(bytes.baseAddress, bytes.count, 0)
    }

    /// The low 32 bits: a zstd frame's content checksum.
    package static func checksum32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: hash64(bytes))
    }

    package static func checksum32(_ bytes: some ContiguousBytesOfUInt8) -> UInt32 {
        bytes.withUnsafeBytes { checksum32($0) }
    }
}

/// Arrays of bytes and slices of them.
package protocol ContiguousBytesOfUInt8: Collection<UInt8> {
    /// Lends the bytes for the time of the call.
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result
}

extension [UInt8]: ContiguousBytesOfUInt8 {}
extension ArraySlice<UInt8>: ContiguousBytesOfUInt8 {}
