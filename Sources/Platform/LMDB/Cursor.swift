internal import CLMDB
import Glibc

/// A place in a database, inside one transaction.
struct Cursor: ~Copyable {
    private let handle: OpaquePointer
    private let place = UnsafeMutablePointer<(key: MDB_val, value: MDB_val)>.allocate(capacity: 1)

    init(_ transaction: OpaquePointer, _ database: Database) throws(LMDBError) {
        place.initialize(to: (MDB_val(), MDB_val()))
        var opened: OpaquePointer?
        let answer = mdb_cursor_open(transaction, database.handle, &opened)
        guard answer == MDB_SUCCESS, let opened else {
            place.deallocate()
            throw LMDBError(code: answer)
        }
        handle = opened
    }

    deinit {
        mdb_cursor_close(handle)
        place.deallocate()
    }

    var key: UnsafeRawBufferPointer { UnsafeRawBufferPointer(place.pointee.key) }
    var value: UnsafeRawBufferPointer { UnsafeRawBufferPointer(place.pointee.value) }

    /// - Returns: false where there is no entry.
    func move(_ operation: MDB_cursor_op) throws(LMDBError) -> Bool {
        let answer = mdb_cursor_get(handle, &place.pointee.key, &place.pointee.value, operation)
        // Behind the last entry, MDB_GET_CURRENT says EINVAL.
        if answer == MDB_NOTFOUND || (operation == MDB_GET_CURRENT && answer == EINVAL) { return false }
        try check(answer)
        return true
    }

    /// Goes to the first key at or behind `from`; empty means the first of all.
    func seek(_ from: [UInt8]) throws(LMDBError) -> Bool {
        guard !from.isEmpty else { return try move(MDB_FIRST) }
        return try withBytes(of: from) { bytes throws(LMDBError) in
            place.pointee.key = bytes
            return try move(MDB_SET_RANGE)
        }
    }

    func isBefore(_ until: [UInt8]?) -> Bool {
        guard let until else { return true }
        return until.withUnsafeBytes { end in
            let order = memcmp(key.baseAddress!, end.baseAddress ?? key.baseAddress!, min(key.count, end.count))
            return order == 0 ? key.count < end.count : order < 0
        }
    }

    func delete() throws(LMDBError) {
        try check(mdb_cursor_del(handle, 0))
    }
}

extension UnsafeRawBufferPointer {
    init(_ value: MDB_val) {
        self.init(start: value.mv_data, count: value.mv_size)
    }
}

/// Lends the bytes of an array to LMDB, which reads them only.
func withBytes<Answer>(
    of bytes: [UInt8],
    _ body: (MDB_val) throws(LMDBError) -> Answer
) throws(LMDBError) -> Answer {
    // withUnsafeBytes of Array knows no typed errors.
    let result: Result<Answer, LMDBError> = bytes.withUnsafeBytes { buffer in
        let value = MDB_val(mv_size: buffer.count, mv_data: UnsafeMutableRawPointer(mutating: buffer.baseAddress))
        do throws(LMDBError) { return .success(try body(value)) } catch { return .failure(error) }
    }
    return try result.get()
}

func openDatabase(_ transaction: OpaquePointer, _ name: String, flags: UInt32) throws(LMDBError) -> Database {
    var handle: UInt32 = 0
    try check(mdb_dbi_open(transaction, name, flags, &handle))
    return Database(handle: handle)
}

func readValue<Answer>(
    _ transaction: OpaquePointer,
    _ database: Database,
    _ key: [UInt8],
    _ body: (UnsafeRawBufferPointer) -> Answer
) throws(LMDBError) -> Answer? {
    do {
        return try withBytes(of: key) { bytes throws(LMDBError) in
            var key = bytes
            var value = MDB_val()
            try check(mdb_get(transaction, database.handle, &key, &value))
            return body(UnsafeRawBufferPointer(value))
        }
    } catch .notFound {
        return nil
    }
}

func store(
    _ transaction: OpaquePointer,
    _ database: Database,
    _ key: [UInt8],
    _ value: [UInt8],
    flags: UInt32
) throws(LMDBError) {
    try withBytes(of: key) { keyBytes throws(LMDBError) in
        try withBytes(of: value) { valueBytes throws(LMDBError) in
            var (key, value) = (keyBytes, valueBytes)
            try check(mdb_put(transaction, database.handle, &key, &value, flags))
        }
    }
}

func visit(
    _ transaction: OpaquePointer,
    _ database: Database,
    from: [UInt8],
    until: [UInt8]?,
    _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
) throws(LMDBError) {
    let cursor = try Cursor(transaction, database)
    var isThere = try cursor.seek(from)
    while isThere, cursor.isBefore(until), body(cursor.key, cursor.value) {
        isThere = try cursor.move(MDB_NEXT)
    }
}

func lastEntry(
    _ transaction: OpaquePointer,
    _ database: Database
) throws(LMDBError) -> (key: [UInt8], value: [UInt8])? {
    let cursor = try Cursor(transaction, database)
    guard try cursor.move(MDB_LAST) else { return nil }
    return (Array(cursor.key), Array(cursor.value))
}

func readStat(_ transaction: OpaquePointer, _ database: Database) throws(LMDBError) -> DatabaseStat {
    var stat = MDB_stat()
    try check(mdb_stat(transaction, database.handle, &stat))
    return DatabaseStat(
        entries: stat.ms_entries,
        depth: Int(stat.ms_depth),
        branchPages: stat.ms_branch_pages,
        leafPages: stat.ms_leaf_pages,
        overflowPages: stat.ms_overflow_pages,
        pageBytes: Int(stat.ms_psize)
    )
}
