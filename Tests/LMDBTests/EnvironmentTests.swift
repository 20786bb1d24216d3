import Foundation
import LMDB
import Testing

@Suite struct EnvironmentTests {
    private final class Folder: Sendable {
        let path = NSTemporaryDirectory() + "vdrive-lmdb-" + UUID().uuidString

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private let folder: Folder

    init() throws { folder = try Folder() }

    private func open(mapBytes: Int = 1 << 24) throws -> Environment {
        try Environment(path: folder.path, mapBytes: mapBytes, maxDatabases: 4)
    }

    private static func key(_ number: UInt64) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// Makes the database "a" with the numbers given; returns it.
    @discardableResult
    private func fill(_ environment: Environment, _ numbers: some Sequence<UInt64>) throws -> Database {
        let transaction = try environment.write()
        let database = try transaction.database("a")
        for number in numbers { try transaction.put(Self.key(number), [UInt8(number & 0xFF)], in: database) }
        try transaction.commit()
        return database
    }

    @Test func `what was committed is there after reopening`() throws {
        var environment = try open()
        _ = try fill(environment, 1...3)
        environment.close()
        environment = try open()
        let transaction = try environment.read()
        let database = try transaction.database("a")
        #expect(try transaction.get(Self.key(2), in: database) == [2])
        #expect(try transaction.get(Self.key(9), in: database) == nil)
        #expect(try transaction.withValue(Self.key(3), in: database) { $0.count }?.get() == 1)
        #expect(try transaction.count(in: database) == 3)
        #expect(try transaction.stat(of: database).depth == 1)
    }

    @Test func `big-endian keys are visited by value, from and until, and the visit stops`() throws {
        let environment = try open()
        let numbers: [UInt64] = [256, 3, 70_000, 1, .max, 255]
        let database = try fill(environment, numbers)
        let transaction = try environment.read()
        var seen: [UInt64] = []
        let note = { (key: UnsafeRawBufferPointer, _: UnsafeRawBufferPointer) in
            seen.append(UInt64(bigEndian: key.loadUnaligned(as: UInt64.self)))
            return seen.count < 4
        }
        try transaction.forEach(in: database, note)
        #expect(seen == [1, 3, 255, 256])
        seen = []
        try transaction.forEach(in: database, from: Self.key(4), until: Self.key(70_000), note)
        #expect(seen == [255, 256])
        seen = []
        try transaction.forEach(in: database, from: Self.key(70_001), note)
        #expect(seen == [.max])
        #expect(try transaction.last(in: database)?.key == Self.key(.max))
    }

    @Test func `cursors nest`() throws {
        let environment = try open()
        let database = try fill(environment, 0..<10)
        let transaction = try environment.read()
        var pairs = 0
        var failure: (any Error)?
        try transaction.forEach(in: database) { _, _ in
            do {
                try transaction.forEach(in: database) { _, _ in
                    pairs += 1
                    return true
                }
            } catch { failure = error }
            return true
        }
        #expect(pairs == 100 && failure == nil)
    }

    @Test func `an aborted transaction leaves nothing`() throws {
        let environment = try open()
        let database = try fill(environment, 1...2)
        do {
            let transaction = try environment.write()
            try transaction.put(Self.key(1), [99], in: database)
            try transaction.clear(database)
        }
        let transaction = try environment.write()
        try transaction.put(Self.key(5), [5], in: database)
        transaction.abort()
        let reader = try environment.read()
        #expect(try reader.get(Self.key(1), in: database) == [1])
        #expect(try reader.count(in: database) == 2)
    }

    @Test func `a reader keeps its view while others commit`() throws {
        let environment = try open()
        let database = try fill(environment, 1...1)
        let early = try environment.read()
        let writer = try environment.write()
        try writer.put(Self.key(1), [42], in: database)
        try writer.commit()
        let late = try environment.read()
        #expect(try early.get(Self.key(1), in: database) == [1])
        #expect(try late.get(Self.key(1), in: database) == [42])
    }

    @Test func `entries are inserted, appended and deleted as promised`() throws {
        let environment = try open()
        let database = try fill(environment, 0..<1000)
        let transaction = try environment.write()
        #expect(throws: LMDBError.keyExists) { try transaction.insert(Self.key(5), [1], in: database) }
        try transaction.append(Self.key(2000), [1], in: database)
        #expect(throws: LMDBError.keyExists) { try transaction.append(Self.key(7), [1], in: database) }
        #expect(try transaction.delete(Self.key(2000), in: database))
        #expect(try !transaction.delete(Self.key(2000), in: database))
        #expect(try transaction.deleteRange(from: Self.key(100), until: Self.key(900), in: database) == 800)
        #expect(try transaction.count(in: database) == 200)
        #expect(try transaction.get(Self.key(99), in: database) != nil)
        #expect(try transaction.get(Self.key(100), in: database) == nil)
        #expect(try transaction.get(Self.key(900), in: database) != nil)
        #expect(try transaction.deleteRange(from: [], until: nil, in: database) == 200)
        try transaction.drop(database)
        #expect(throws: LMDBError.notFound) { try transaction.database("a", creates: false) }
        #expect(throws: LMDBError.badValueSize) {
            let other = try transaction.database("b")
            try transaction.put([UInt8](repeating: 1, count: environment.keyBytesMax + 1), [], in: other)
        }
    }

    @Test func `a full map is said, grown, and filled again`() throws {
        let environment = try open(mapBytes: 1 << 20)
        let database = try fill(environment, 1...1)
        let value = [UInt8](repeating: 7, count: 4000)
        func writeMany() throws {
            let transaction = try environment.write()
            for number in 0..<1000 as Range<UInt64> { try transaction.put(Self.key(number), value, in: database) }
            try transaction.commit()
        }
        #expect(throws: LMDBError.mapFull) { try writeMany() }
        try environment.grow(to: 64 << 20)
        #expect(environment.mapBytes == 64 << 20)
        try writeMany()
        let reader = try environment.read()
        #expect(try reader.count(in: database) == 1000)
        #expect(environment.usedBytes > 4_000_000 && environment.usedBytes < 64 << 20)
    }

    @Test func `a copy opens by itself`() throws {
        let environment = try open()
        _ = try fill(environment, 1...100)
        let other = try Folder()
        try environment.copy(to: other.path)
        let copied = try Environment(path: other.path, mapBytes: 1 << 24, maxDatabases: 4, flags: .readOnly)
        let reader = try copied.read()
        let database = try reader.database("a")
        #expect(try reader.count(in: database) == 100)
    }

    @Test func `what is no environment says so`() throws {
        #expect(throws: LMDBError.noSuchFile) {
            try Environment(path: "/no/such/folder", mapBytes: 1 << 20, maxDatabases: 1)
        }
        try Data(repeating: 0x55, count: 16384).write(to: URL(fileURLWithPath: folder.path + "/data.mdb"))
        #expect(throws: LMDBError.invalidFile) { try open() }
        #expect(LMDBError.mapFull.description.contains("MDB_MAP_FULL"))
    }

    /// The child is `mdb_load` of lmdb-utils when it is there: it commits as it reads, and is killed in the middle.
    @Test func `a writer that is killed leaves a state that opens`() throws {
        var program = ""
        for candidate in ["/usr/bin/mdb_load", "/usr/local/bin/mdb_load"]
        where FileManager.default.isExecutableFile(atPath: candidate) {
            program = candidate
        }
        try #require(!program.isEmpty, "install lmdb-utils")
        // Sets the size of the map, which stays in the file.
        try fill(open(mapBytes: 1 << 28), 1...1)
        var visitedBefore = 0
        let fileBytes = { () throws in
            try FileManager.default.attributesOfItem(atPath: folder.path + "/data.mdb")[.size] as? Int ?? 0
        }
        for round in 1...5 {
            let input = folder.path + "/input"
            let lines = (0..<100_000).map { "key-\(round)-\(1_000_000 + $0)\nvalue\n" }.joined()
            try Data(lines.utf8).write(to: URL(fileURLWithPath: input))
            let child = Process()
            child.executableURL = URL(fileURLWithPath: program)
            child.arguments = ["-T", "-s", "a", folder.path]
            child.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: input))
            let bytesBefore = try fileBytes()
            try child.run()
            // Killed when it has committed some hundred kilobytes, a little later each time.
            while child.isRunning, try fileBytes() < bytesBefore + 200_000 + 7000 * round { usleep(200) }
            kill(child.processIdentifier, SIGKILL)
            child.waitUntilExit()
            let environment = try open(mapBytes: 1 << 28)
            let transaction = try environment.write()
            let database = try transaction.database("a")
            var visited = 0
            try transaction.forEach(in: database) { _, value in
                visited += value.elementsEqual("value".utf8) ? 1 : 0
                return true
            }
            // The number that `fill` wrote has another value; mdb_load commits every hundred entries.
            #expect(try transaction.count(in: database) == visited + 1)
            #expect((visited - (round - 1)) % 100 == 0, "a part of a transaction is there")
            #expect(visited >= visitedBefore + 100 && visited < visitedBefore + 100_000, "not killed in the middle")
            visitedBefore = visited
            try transaction.put(Array("after-\(round)".utf8), Array("value".utf8), in: database)
            try transaction.commit()
            environment.close()
        }
    }
}
