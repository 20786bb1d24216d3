import Foundation

/// How hard the torture is: a short form for every run of the tests, a long one with `contrib/torture`.
///
/// VDRIVE_TORTURE=long chooses the long form, VDRIVE_TORTURE_COUNT another number of rounds, VDRIVE_SEED the seed.
struct TortureForm: Sendable {
    static let current = TortureForm(ProcessInfo.processInfo.environment)

    let isLong: Bool
    private let count: Int?
    /// The seed of the whole run. Every test makes its own of it, by the place that it has among the others; how the
    /// writers' calls and the blows fall together in time is beyond any seed.
    let seed: UInt64

    init(_ environment: [String: String]) {
        isLong = environment["VDRIVE_TORTURE"] == "long"
        count = environment["VDRIVE_TORTURE_COUNT"].flatMap { Int($0) }
        seed = environment["VDRIVE_SEED"].flatMap { UInt64($0) } ?? 20_261_123
    }

    func rounds(short: Int, long: Int) -> Int { isLong ? count ?? long : short }

    /// A figure that `contrib/torture` adds up.
    static func report(_ test: String, _ figures: KeyValuePairs<String, Int>) {
        say("torture \(test) seed=\(current.seed) " + figures.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
    }
}

/// What a checker has found, with all that is needed to run it again.
struct TortureFailure: Error, CustomStringConvertible {
    let description: String

    init(_ moment: String, _ complaints: [String]) {
        let seed = TortureForm.current.seed
        let first = complaints.prefix(12).joined(separator: "\n  ")
        description = "VDRIVE_SEED=\(seed), \(moment): \(complaints.count) complaints\n  \(first)"
    }
}
