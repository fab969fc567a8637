/// What a resampling does along one axis: each output element is a weighted sum of consecutive
/// input elements. The weights of an element add up to one.
struct AxisFilter: Sendable {
    /// Elements that come in.
    let inputs: Int
    /// First input element of each output element, ascending.
    private(set) var firsts: [Int] = []
    /// Where each output element's weights begin in ``weights``; one more at the end.
    private(set) var offsets = [0]
    private(set) var weights: [Float] = []

    /// No output elements yet.
    init(inputs: Int) {
        precondition(inputs > 0, "there is something to resample")
        self.inputs = inputs
    }

    /// Elements that go out.
    var outputs: Int { firsts.count }

    /// The input elements of an output element.
    func range(_ output: Int) -> Range<Int> {
        firsts[output]..<firsts[output] + offsets[output + 1] - offsets[output]
    }

    /// The weights of an output element, for ``range(_:)``.
    func weights(_ output: Int) -> ArraySlice<Float> {
        weights[offsets[output]..<offsets[output + 1]]
    }

    /// The next output element: weights of consecutive inputs from `first` on, whose sum need not
    /// be one. What lies outside the axis is taken from its first or last element.
    mutating func append(from first: Int, _ taps: [Double]) {
        let sum = taps.reduce(0, +)
        let start = min(max(first, 0), inputs - 1)
        let end = min(max(first + taps.count - 1, 0), inputs - 1)
        var merged = [Double](repeating: 0, count: end - start + 1)
        for (index, weight) in taps.enumerated() {
            merged[min(max(first + index, start), end) - start] += weight / sum
        }
        firsts.append(start)
        weights += merged.map(Float.init)
        offsets.append(weights.count)
    }

    /// The output of a line of `inputs` elements, `line` being where it begins in `values`.
    func apply(_ values: [Float], from line: Int, to output: inout [Float]) {
        for index in 0..<outputs {
            var (sum, position) = (Float(0), line + firsts[index])
            for weight in offsets[index]..<offsets[index + 1] {
                sum += weights[weight] * values[position]
                position += 1
            }
            output.append(sum)
        }
    }
}
