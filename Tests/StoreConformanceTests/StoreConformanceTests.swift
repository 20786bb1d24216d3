import Logging
import Testing
import VDriveModel
import VDriveStore
import VDriveTestKit

/// What every store must do, on every store.
@Suite("every store", .timeLimit(.minutes(2)))
struct StoreConformanceTests {
    private let name = ObjectName("blocks/0000000/blk_000000001.00000001-0000000001.zst")

    @Test("gives back what was put, whole and in parts", arguments: Subject.allCases)
    func roundTrip(_ subject: Subject) async throws {
        try await subject.withStore { store in
            let body = bytes(1_500_001)
            try await store.put(name, body)
            #expect(try await store.get(name, range: nil) == body)
            for range in [0..<1, 4096..<8192, 1_499_000..<1_500_001, 0..<1_500_001] {
                #expect(try await store.get(name, range: range) == Array(body[range]))
            }
            #expect(try await store.length(of: name) == body.count)
        }
    }

    @Test("replaces an object", arguments: Subject.allCases)
    func overwrite(_ subject: Subject) async throws {
        try await subject.withStore { store in
            for (length, seed) in [(5000, 1), (70_000, 2), (10, 3)] as [(Int, UInt64)] {
                try await store.put(name, bytes(length, seed: seed))
                #expect(try await store.get(name, range: nil) == bytes(length, seed: seed))
            }
        }
    }

    @Test("keeps empty objects", arguments: Subject.allCases)
    func empty(_ subject: Subject) async throws {
        try await subject.withStore { store in
            try await store.put(name, [])
            #expect(try await store.get(name, range: nil) == [])
            #expect(try await store.length(of: name) == 0)
        }
    }

    @Test("says that a missing object is missing", arguments: Subject.allCases)
    func missing(_ subject: Subject) async throws {
        try await subject.withStore { store in
            #expect(try await store.length(of: name) == nil)
            #expect(await storeError { try await store.get(name, range: nil) }?.kind == .notFound)
            #expect(await storeError { try await store.get(name, range: 0..<10) }?.kind == .notFound)
            try await store.delete(name)
            #expect(try await store.list("nothing/here") == [])
        }
    }

    @Test("refuses a range beyond the end", arguments: Subject.allCases)
    func rangeBeyondEnd(_ subject: Subject) async throws {
        try await subject.withStore { store in
            try await store.put(name, bytes(1000))
            for range in [900..<1001, 1000..<1100, 5000..<6000] {
                #expect(await storeError { try await store.get(name, range: range) }?.kind == .corrupt)
            }
        }
    }

    @Test("deletes", arguments: Subject.allCases)
    func delete(_ subject: Subject) async throws {
        try await subject.withStore { store in
            try await store.put(name, bytes(100))
            try await store.delete(name)
            try await store.delete(name)
            #expect(try await store.length(of: name) == nil)
            try await store.put(name, bytes(200))
            #expect(try await store.length(of: name) == 200)
        }
    }

    @Test("lists the direct children", arguments: Subject.allCases)
    func list(_ subject: Subject) async throws {
        try await subject.withStore { store in
            try await store.put(ObjectName("vdrive.json"), bytes(10))
            try await store.put(ObjectName("commits/1-1"), bytes(20))
            try await store.put(ObjectName("commits/1-2"), bytes(30))
            try await store.put(ObjectName("commits/deep/1-3"), bytes(40))
            let top = try await store.list("")
            #expect(Set(top) == [listed("vdrive.json", 10), listed("commits", nil)])
            let commits = try await store.list("commits")
            #expect(Set(commits) == [listed("1-1", 20), listed("1-2", 30), listed("deep", nil)])
            #expect(commits.count == 3)
        }
    }

    @Test("takes many puts into fresh folders at once", arguments: Subject.allCases)
    func parallel(_ subject: Subject) async throws {
        try await subject.withStore { store in
            let names = (0..<48).map { ObjectName("blocks/\($0 % 6)/deep/blk_\($0)") }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, name) in names.enumerated() {
                    group.addTask {
                        try await store.put(name, bytes(20_000 + number, seed: UInt64(number)))
                        let back = try await store.get(name, range: nil)
                        #expect(back == bytes(20_000 + number, seed: UInt64(number)))
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await store.list("blocks/3/deep").count == 8)
        }
    }

    @Test("has an exclusive claim, and the probe finds the right one", arguments: Subject.allCases)
    func claim(_ subject: Subject) async throws {
        try await subject.withStore { store in
            let primitive = try #require(try await StoreProbe.claimPrimitive(of: store, in: "terms"))
            switch subject {
            case .memory, .file: #expect(primitive == .makeFolder)
            case .apache, .apacheDigestTLS, .nginx: #expect(primitive == .makeCollection)
            case .rclone: #expect(primitive == .moveNoOverwrite)
            }
            #expect(try await store.list("terms") == [], "the probe cleans up after itself")
            let store = patient(store)
            for term in 1...10 {
                let name = ObjectName("terms/\(term)")
                let wins = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for _ in 0..<12 { group.addTask { try await store.claim(name, with: primitive) } }
                    return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
                #expect(wins == 1, "term \(term)")
            }
            #expect(try await store.list("terms").count == 10, "losers leave nothing behind")
        }
    }

    @Test("passes the check before a disk is created on it", arguments: Subject.allCases)
    func writable(_ subject: Subject) async throws {
        try await subject.withStore { store in
            try await StoreProbe.checkWritable(store)
            #expect(try await store.list("") == [])
        }
    }

    @Test("tells its quota or nil", arguments: Subject.allCases)
    func quota(_ subject: Subject) async throws {
        try await subject.withStore { store in
            try await store.put(name, bytes(1000))
            let quota = try await store.quota()
            switch subject {
            case .memory: #expect(quota?.usedBytes == 1000)
            case .file: #expect(try #require(quota?.availableBytes) > 0)
            default: #expect(quota == nil || quota?.usedBytes != nil || quota?.availableBytes != nil)
            }
        }
    }

    /// As the daemon composes it: servers are busy at times.
    private func patient(_ store: any ObjectStore) -> any ObjectStore {
        RetryingStore(
            store,
            deadline: .seconds(30),
            budget: RetryBudget(),
            meter: StoreMeter(),
            clock: ContinuousClock(),
            generator: SystemRandomNumberGenerator(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private func listed(_ name: String, _ length: Int?) -> StoreListing {
        StoreListing(name: name, isFolder: length == nil, length: length)
    }
}
