internal import CLMDB
import Glibc

/// One LMDB file and its lock file, mapped into memory.
///
/// Notes on the design
/// - A commit is always synced: MDB_NOSYNC and its like do not exist here, because a power cut could then lose the
///   file.
/// - The file is written with `pwrite`, not through the map: a stray pointer of ours cannot reach it.
/// - MDB_NOTLS: a read transaction belongs to its value, not to its thread, so tasks may hold them.
/// - One process opens an environment at a time, once: LMDB's own locks break when it is opened twice in a process.
/// - All transactions and databases must have ended before `close`, and before `grow`.
// SAFETY: LMDB synchronises its own calls; `handle` changes only in `close`, which its contract puts after all other
// use; `openTransactions` is touched only under `mutex`.
package final class Environment: @unchecked Sendable {
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Nothing is written; the file must exist.
        package static let readOnly = Flags(rawValue: UInt32(MDB_RDONLY))
        /// No read-ahead of the kernel: for files larger than memory that are read at random.
        package static let noReadAhead = Flags(rawValue: UInt32(MDB_NORDAHEAD))
        /// `path` is the file itself, beside `path-lock`; without it, `path` is a directory for both.
        package static let noSubdirectory = Flags(rawValue: UInt32(MDB_NOSUBDIR))
    }

    private var handle: OpaquePointer?
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var openTransactions = 0

    /// Opens or creates an environment.
    ///
    /// - Parameters:
    ///   - path: an existing directory, or the file itself with `noSubdirectory`.
    ///   - mapBytes: the most that the file can grow to, in bytes; only address space until it is used. A file that is
    ///     larger already keeps its size.
    ///   - maxDatabases: how many named databases can be open.
    ///   - maxReaders: how many read transactions can be open at the same time.
    ///   - mode: of files that are created.
    /// - Throws: `noSuchFile`, `invalidFile`, `versionMismatch` and others. Blocks.
    package init(
        path: String,
        mapBytes: Int,
        maxDatabases: Int,
        maxReaders: Int = 126,
        flags: Flags = [],
        mode: UInt32 = 0o600
    ) throws(LMDBError) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        var opened: OpaquePointer?
        try check(mdb_env_create(&opened))
        do throws(LMDBError) {
            try check(mdb_env_set_mapsize(opened, Self.wholePages(mapBytes)))
            try check(mdb_env_set_maxdbs(opened, MDB_dbi(maxDatabases)))
            try check(mdb_env_set_maxreaders(opened, UInt32(maxReaders)))
            try check(mdb_env_open(opened, path, flags.rawValue | UInt32(MDB_NOTLS), mode))
            // Slots of readers that a kill left behind would keep old pages alive for ever.
            try check(mdb_reader_check(opened, nil))
        } catch {
            // LMDB wants a handle closed also when its opening failed.
            mdb_env_close(opened)
            throw error
        }
        handle = opened
    }

    deinit {
        close()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Unmaps and closes the files. A second call does nothing. No transaction may be open, nor be begun afterwards.
    package func close() {
        withLock {
            precondition(openTransactions == 0, "\(openTransactions) transactions are open")
            if let handle { mdb_env_close(handle) }
            handle = nil
        }
    }

    /// Begins a transaction that sees the state of the last commit, for as long as it lives. Never waits for writers.
    package func read() throws(LMDBError) -> ReadTransaction {
        ReadTransaction(try begin(flags: UInt32(MDB_RDONLY)), self)
    }

    /// Begins the one transaction that may write; waits for another one to end. It must end on the thread on which it
    /// began.
    package func write() throws(LMDBError) -> WriteTransaction {
        WriteTransaction(try begin(flags: 0), self)
    }

    /// Lets the file grow further. Waits for nobody: the caller sees to it that no transaction is open, which is
    /// checked.
    ///
    /// - Parameter mapBytes: as at opening; smaller than now is ignored.
    package func grow(to mapBytes: Int) throws(LMDBError) {
        guard mapBytes > self.mapBytes else { return }
        try withLock { () throws(LMDBError) in
            precondition(openTransactions == 0, "\(openTransactions) transactions are open")
            try check(mdb_env_set_mapsize(handle, Self.wholePages(mapBytes)))
        }
    }

    /// The most that the file can grow to, in bytes.
    package var mapBytes: Int {
        var info = MDB_envinfo()
        let answer = mdb_env_info(open, &info)
        precondition(answer == MDB_SUCCESS, "\(LMDBError(code: answer))")
        return info.me_mapsize
    }

    /// The number of the last transaction that was committed; every commit that changes something counts one up.
    package var lastTransaction: Int {
        var info = MDB_envinfo()
        let answer = mdb_env_info(open, &info)
        precondition(answer == MDB_SUCCESS, "\(LMDBError(code: answer))")
        return info.me_last_txnid
    }

    /// The bytes of the file that have ever been in use: its size, less what was never reached.
    package var usedBytes: Int {
        var info = MDB_envinfo()
        var stat = MDB_stat()
        let answers = (mdb_env_info(open, &info), mdb_env_stat(open, &stat))
        precondition(answers == (MDB_SUCCESS, MDB_SUCCESS), "\(LMDBError(code: answers.0))")
        return (info.me_last_pgno + 1) * Int(stat.ms_psize)
    }

    /// The longest key, in bytes.
    package var keyBytesMax: Int { Int(mdb_env_get_maxkeysize(open)) }

    /// Writes a copy of the last commit's state into an empty directory, or a file with `noSubdirectory`; compacted.
    package func copy(to path: String) throws(LMDBError) {
        try check(mdb_env_copy2(open, path, UInt32(MDB_CP_COMPACT)))
    }

    /// Called by a transaction that has ended.
    func transactionEnded() {
        withLock { openTransactions -= 1 }
    }

    private var open: OpaquePointer {
        guard let handle else { preconditionFailure("the environment is closed") }
        return handle
    }

    private func begin(flags: UInt32) throws(LMDBError) -> OpaquePointer {
        withLock { openTransactions += 1 }
        var transaction: OpaquePointer?
        do throws(LMDBError) {
            try check(mdb_txn_begin(open, nil, flags, &transaction))
        } catch {
            transactionEnded()
            throw error
        }
        return transaction!
    }

    private func withLock<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        try body()
    }

    /// LMDB wants a multiple of the system's page size.
    private static func wholePages(_ bytes: Int) -> Int {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        return (bytes + page - 1) / page * page
    }
}
