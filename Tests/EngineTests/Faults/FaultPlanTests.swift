import Foundation
import Testing
import VDriveEngine

/// The grammar of VDRIVE_FAULTS, and its page. Nothing is armed here: the registry is the whole process's.
@Suite struct FaultPlanTests {
    private func actions(_ specification: String, _ point: FaultPoint, times: Int) throws -> [[FaultPlan.Action]] {
        var plan = try FaultPlan(specification)
        return (0..<times).map { _ in plan.pass(point) }
    }

    @Test("an action holds from its time on, and as often as it is said")
    func times() throws {
        #expect(try actions("put.before-chunk=crash", .putBeforeChunk, times: 2) == [[.crash], []])
        #expect(try actions("put.before-chunk=crash@2", .putBeforeChunk, times: 3) == [[], [.crash], []])
        #expect(try actions("put.before-chunk=stop", .putBeforeChunk, times: 2) == [[.stop], []])
        #expect(try actions("put.before-chunk=fail", .putBeforeChunk, times: 3) == [[.fail], [.fail], [.fail]])
        #expect(try actions("put.before-chunk=fail@3", .putBeforeChunk, times: 4) == [[], [], [.fail], [.fail]])
        #expect(try actions("put.before-chunk=fail@2*1", .putBeforeChunk, times: 3) == [[], [.fail], []])
        #expect(try actions("put.before-chunk=fail*2", .putBeforeChunk, times: 3) == [[.fail], [.fail], []])
        let wait = FaultPlan.Action.delay(milliseconds: 250)
        #expect(try actions("put.before-chunk=delay:250", .putBeforeChunk, times: 2) == [[wait], [wait]])
        #expect(try actions("put.before-chunk=delay:250@1", .putBeforeChunk, times: 2) == [[wait], []])
    }

    @Test("entries stand beside each other, each with a count of its own")
    func several() throws {
        let text = "put.before-chunk=delay:5@2, put.before-chunk=crash@2,evict.after-punch=stop,rule3a=broken"
        var plan = try FaultPlan(text)
        #expect(plan.pass(.putBeforeChunk) == [])
        #expect(plan.pass(.evictAfterPunch) == [.stop])
        #expect(plan.pass(.putBeforeChunk) == [.delay(milliseconds: 5), .crash])
        #expect(plan.pass(.fillAfterBytes) == [])
        #expect(plan.brokenRules == [.rule3Records])
    }

    @Test(
        "what is none is refused, with the place",
        arguments: [
            ("", "«» is not of the form point=action or rule=broken."),
            ("put.before-chunk", "«put.before-chunk» is not of the form point=action or rule=broken."),
            ("put.sideways=crash", "There is no fault point and no ordering rule «put.sideways»."),
            ("put.before-chunk=explode", "«explode» is no action: crash, stop, fail or delay:MILLISECONDS."),
            ("put.before-chunk=crash@0", "«crash@0»: «0» is not a number from 1 to 1000000000."),
            ("put.before-chunk=fail*-1", "«fail*-1»: «-1» is not a number from 1 to 1000000000."),
            ("put.before-chunk=delay:", "«delay:»: «» is not a number from 1 to 1000000000."),
            ("seal.after-increment=fail", "Nothing can fail at seal.after-increment."),
            ("rule3=broken", "There is no fault point and no ordering rule «rule3»."),
            ("rule2=whole", "rule2 can only be «broken», not «whole»."),
            ("rule2=broken,", "«» is not of the form point=action or rule=broken."),
        ]
    )
    func refused(text: String, sentence: String) {
        let error = #expect(throws: FaultSpecError.self) { try FaultPlan(text) }
        #expect(error?.description == sentence)
    }

    @Test("contrib/FAULTS.md lists every point, whether it can fail, and every rule; and nothing else")
    func document() throws {
        let project = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: project.appending(path: "contrib/FAULTS.md"), encoding: .utf8)
        var points: [String: Bool] = [:]
        var rules: Set<String> = []
        for line in text.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            let name = cells[0].trimmingCharacters(in: CharacterSet(charactersIn: "`"))
            if name.hasPrefix("rule") { rules.insert(name) } else { points[name] = cells[1] == "yes" }
        }
        let known = FaultPoint.allCases.map { ($0.rawValue, $0.canFail) }
        #expect(points == Dictionary(uniqueKeysWithValues: known))
        #expect(rules == Set(OrderingRule.allCases.map(\.rawValue)))
    }
}
