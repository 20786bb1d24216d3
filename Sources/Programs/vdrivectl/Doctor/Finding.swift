/// What one check of the doctor came to.
struct Finding: Encodable, Equatable {
    enum Grade: String, Encodable {
        case ok, warning, problem
    }

    private enum CodingKeys: String, CodingKey {
        case subject, grade, text, advice
    }

    /// What was looked at, one word or two.
    let subject: String
    let grade: Grade
    /// What was seen, one sentence without its full stop.
    let text: String
    /// What to do about it; nil when all is well.
    let advice: String?

    static func ok(_ subject: String, _ text: String) -> Finding {
        Finding(subject: subject, grade: .ok, text: text, advice: nil)
    }

    static func warning(_ subject: String, _ text: String, advice: String) -> Finding {
        Finding(subject: subject, grade: .warning, text: text, advice: advice)
    }

    static func problem(_ subject: String, _ text: String, advice: String) -> Finding {
        Finding(subject: subject, grade: .problem, text: text, advice: advice)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(subject, forKey: .subject)
        try container.encode(grade, forKey: .grade)
        try container.encode(text, forKey: .text)
        // Null, never absent, as in the daemon's results.
        try container.encode(advice, forKey: .advice)
    }
}
