internal import CLMDB
import Glibc

/// Why LMDB did not do what was asked.
package struct LMDBError: Error, Hashable, Sendable, CustomStringConvertible {
    /// LMDB's own number (below 0), or an errno (above 0).
    package let code: CInt

    package init(code: CInt) { self.code = code }

    /// The key or the named database is not there.
    package static let notFound = LMDBError(code: MDB_NOTFOUND)
    package static let keyExists = LMDBError(code: MDB_KEYEXIST)
    /// The map is full: end the transaction, `Environment.grow(to:)`, and do it again.
    package static let mapFull = LMDBError(code: MDB_MAP_FULL)
    /// A page is wrong: the file is damaged.
    package static let corrupted = LMDBError(code: MDB_CORRUPTED)
    package static let pageNotFound = LMDBError(code: MDB_PAGE_NOTFOUND)
    package static let panic = LMDBError(code: MDB_PANIC)
    package static let versionMismatch = LMDBError(code: MDB_VERSION_MISMATCH)
    /// Not a file of LMDB.
    package static let invalidFile = LMDBError(code: MDB_INVALID)
    package static let databasesFull = LMDBError(code: MDB_DBS_FULL)
    package static let readersFull = LMDBError(code: MDB_READERS_FULL)
    /// The transaction has grown too large.
    package static let transactionFull = LMDBError(code: MDB_TXN_FULL)
    package static let badTransaction = LMDBError(code: MDB_BAD_TXN)
    /// An empty key, or one longer than `Environment.keyBytesMax`.
    package static let badValueSize = LMDBError(code: MDB_BAD_VALSIZE)
    package static let noSpace = LMDBError(code: ENOSPC)
    package static let quotaExceeded = LMDBError(code: EDQUOT)
    package static let ioError = LMDBError(code: EIO)
    package static let permissionDenied = LMDBError(code: EACCES)
    package static let noSuchFile = LMDBError(code: ENOENT)

    /// Whether the file is damaged, so that no retry and no room can help.
    package var isDamage: Bool {
        [.corrupted, .pageNotFound, .panic, .versionMismatch, .invalidFile].contains(self)
    }

    /// The text of `mdb_strerror` and the number.
    package var description: String { "\(String(cString: mdb_strerror(code))) (\(code))" }
}

/// Turns LMDB's answer into an error. EINVAL can only be our own bug, so it traps.
func check(_ answer: CInt) throws(LMDBError) {
    guard answer != MDB_SUCCESS else { return }
    precondition(answer != EINVAL, "LMDB was given a wrong argument")
    throw LMDBError(code: answer)
}
