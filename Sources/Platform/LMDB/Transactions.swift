internal import CLMDB

/// A database inside an environment: a sorted map from byte strings to byte strings.
///
/// Keys are compared byte by byte, so big-endian integers sort by value.
package struct Database: Hashable, Sendable {
    let handle: UInt32
}

/// Sizes of a database.
package struct DatabaseStat: Hashable, Sendable {
    package let entries: Int
    package let depth: Int
    package let branchPages: Int
    package let leafPages: Int
    package let overflowPages: Int
    package let pageBytes: Int
}

/// A view of one commit's state, which no later commit changes. Ends when the value does.
///
/// May move between threads, but only one uses it at a time. A view that lives long keeps old pages from being used
/// again, so that the file grows.
package struct ReadTransaction: ~Copyable {
    let handle: OpaquePointer
    private let environment: Environment

    init(_ handle: OpaquePointer, _ environment: Environment) {
        self.handle = handle
        self.environment = environment
    }

    deinit {
        mdb_txn_abort(handle)
        environment.transactionEnded()
    }

    /// Opens a named database, for this and all later transactions. Not in two transactions at the same time.
    ///
    /// - Throws: `notFound` when it does not exist.
    package borrowing func database(_ name: String) throws(LMDBError) -> Database {
        try openDatabase(handle, name, flags: 0)
    }

    /// A copy of a value, or nil when there is no such key.
    package borrowing func get(_ key: [UInt8], in database: Database) throws(LMDBError) -> [UInt8]? {
        try readValue(handle, database, key) { Array($0) }
    }

    /// Calls the body with a value in place, without a copy; it is not called when there is no such key.
    ///
    /// - Parameter body: the bytes are valid only inside it.
    package borrowing func withValue<Answer, Failure: Error>(
        _ key: [UInt8],
        in database: Database,
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
    ) throws(LMDBError) -> Result<Answer, Failure>? {
        try readValue(handle, database, key) { bytes in
            do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
    }

    /// Visits entries in the order of their keys; see `WriteTransaction.forEach`.
    package borrowing func forEach(
        in database: Database,
        from: [UInt8] = [],
        until: [UInt8]? = nil,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(LMDBError) {
        try visit(handle, database, from: from, until: until, body)
    }

    /// The last entry of a database: the one with the greatest key.
    package borrowing func last(in database: Database) throws(LMDBError) -> (key: [UInt8], value: [UInt8])? {
        try lastEntry(handle, database)
    }

    package borrowing func count(in database: Database) throws(LMDBError) -> Int {
        try readStat(handle, database).entries
    }

    package borrowing func stat(of database: Database) throws(LMDBError) -> DatabaseStat {
        try readStat(handle, database)
    }
}

/// The one transaction of an environment that may write. Nothing of it is seen by others before `commit`, and nothing
/// stays of it without.
///
/// Begins and ends on one thread. After an error other than `notFound` and `keyExists` only the end is useful.
package struct WriteTransaction: ~Copyable {
    let handle: OpaquePointer
    /// Retained by init, released at the end; `discard self` wants only fields that need no destruction.
    private let environment: Unmanaged<Environment>

    init(_ handle: OpaquePointer, _ environment: Environment) {
        self.handle = handle
        self.environment = .passRetained(environment)
    }

    deinit {
        mdb_txn_abort(handle)
        environment.takeRetainedValue().transactionEnded()
    }

    /// Makes all changes durable, in one step. The corresponding C function is `mdb_txn_commit`.
    ///
    /// - Throws: `mapFull`, `noSpace`, `ioError` and others; then nothing has changed. Blocks for an fdatasync.
    package consuming func commit() throws(LMDBError) {
        let (handle, environment) = (handle, environment)
        // LMDB frees the transaction also when the commit fails.
        discard self
        let answer = mdb_txn_commit(handle)
        environment.takeRetainedValue().transactionEnded()
        try check(answer)
    }

    /// Gives all changes up, as the end of the value does.
    package consuming func abort() {}

    /// Opens a named database; when it is created, it exists from the commit on, and the handle is good from then on.
    ///
    /// - Parameter creates: whether it is created where it does not exist.
    package borrowing func database(_ name: String, creates: Bool = true) throws(LMDBError) -> Database {
        try openDatabase(handle, name, flags: creates ? UInt32(MDB_CREATE) : 0)
    }

    /// A copy of a value, or nil when there is no such key.
    package borrowing func get(_ key: [UInt8], in database: Database) throws(LMDBError) -> [UInt8]? {
        try readValue(handle, database, key) { Array($0) }
    }

    /// As `ReadTransaction.withValue`. The bytes are valid until the body returns, or changes the database.
    package borrowing func withValue<Answer, Failure: Error>(
        _ key: [UInt8],
        in database: Database,
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
    ) throws(LMDBError) -> Result<Answer, Failure>? {
        try readValue(handle, database, key) { bytes in
            do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
    }

    /// Sets the value of a key.
    ///
    /// - Parameter key: 1 … `Environment.keyBytesMax` bytes.
    package borrowing func put(_ key: [UInt8], _ value: [UInt8], in database: Database) throws(LMDBError) {
        try store(handle, database, key, value, flags: 0)
    }

    /// Sets the value of a key that must not exist.
    ///
    /// - Throws: `keyExists`.
    package borrowing func insert(_ key: [UInt8], _ value: [UInt8], in database: Database) throws(LMDBError) {
        try store(handle, database, key, value, flags: UInt32(MDB_NOOVERWRITE))
    }

    /// Adds an entry behind all others: fast, and it fills the pages.
    ///
    /// - Throws: `keyExists` when the key is not greater than all others.
    package borrowing func append(_ key: [UInt8], _ value: [UInt8], in database: Database) throws(LMDBError) {
        try store(handle, database, key, value, flags: UInt32(MDB_APPEND))
    }

    /// Deletes an entry.
    ///
    /// - Returns: whether there was one.
    @discardableResult
    package borrowing func delete(_ key: [UInt8], in database: Database) throws(LMDBError) -> Bool {
        do {
            try withBytes(of: key) { bytes throws(LMDBError) in
                var key = bytes
                try check(mdb_del(handle, database.handle, &key, nil))
            }
            return true
        } catch .notFound {
            return false
        }
    }

    /// Deletes the entries with `from` ≤ key < `until`.
    ///
    /// - Parameters:
    ///   - from: empty means from the first one.
    ///   - until: nil means to the last one.
    /// - Returns: how many they were.
    @discardableResult
    package borrowing func deleteRange(
        from: [UInt8],
        until: [UInt8]?,
        in database: Database
    ) throws(LMDBError) -> Int {
        let cursor = try Cursor(handle, database)
        var count = 0
        var isThere = try cursor.seek(from)
        while isThere, cursor.isBefore(until) {
            try cursor.delete()
            count += 1
            // The cursor stands on the next entry already.
            isThere = try cursor.move(MDB_GET_CURRENT)
        }
        return count
    }

    /// Deletes all entries.
    package borrowing func clear(_ database: Database) throws(LMDBError) {
        try check(mdb_drop(handle, database.handle, 0))
    }

    /// Deletes a database itself; its handle must not be used again.
    package borrowing func drop(_ database: Database) throws(LMDBError) {
        try check(mdb_drop(handle, database.handle, 1))
    }

    /// Visits the entries with `from` ≤ key < `until`, in the order of their keys.
    ///
    /// - Parameters:
    ///   - from: empty means from the first one.
    ///   - until: nil means to the last one.
    ///   - body: gets the bytes in place, valid only inside it, and must not change this database; false stops.
    package borrowing func forEach(
        in database: Database,
        from: [UInt8] = [],
        until: [UInt8]? = nil,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(LMDBError) {
        try visit(handle, database, from: from, until: until, body)
    }

    /// The last entry of a database: the one with the greatest key.
    package borrowing func last(in database: Database) throws(LMDBError) -> (key: [UInt8], value: [UInt8])? {
        try lastEntry(handle, database)
    }

    package borrowing func count(in database: Database) throws(LMDBError) -> Int {
        try readStat(handle, database).entries
    }

    package borrowing func stat(of database: Database) throws(LMDBError) -> DatabaseStat {
        try readStat(handle, database)
    }
}
