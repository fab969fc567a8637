import Denoising
import Foundation
import Sampling
import Tensors
import TestSupport
import Testing

/// Replays an expanded plan from its JSON alone: plain loops in double precision, sharing no code
/// with the program. What another program would do with `tessera plan --format json --expand`.
private struct Replay {
    let plan: [String: Any]

    var channels: Int { number(object(plan, "latent"), "channels") }

    func object(_ from: [String: Any], _ key: String) -> [String: Any] {
        from[key] as? [String: Any] ?? [:]
    }

    func list(_ from: [String: Any], _ key: String) -> [[String: Any]] {
        from[key] as? [[String: Any]] ?? []
    }

    func number(_ from: [String: Any], _ key: String) -> Int { from[key] as? Int ?? -1 }

    func real(_ from: [String: Any], _ key: String) -> Double {
        (from[key] as? Double) ?? Double(from[key] as? String ?? "") ?? .nan
    }

    func plane(_ from: [String: Any], _ key: String, channels: Int = 0) -> Field {
        let extent = object(from, key)
        return Field(channels, number(extent, "height"), number(extent, "width"))
    }

    /// The picture that a plan starts from.
    var picture: [Double] = []

    /// From unit noise, channels × height × width of the first latent, to the finished latent.
    func run(_ noise: [Double]) -> [Double] {
        let request = object(plan, "request")
        let isEuler = request["scheduler"] as? String == "euler"
        let kind = request["prediction_type"] as? String ?? ""
        var start = plane(plan, "noise", channels: channels)
        start.values = noise
        var latent = start.mapped { $0 * real(request, "initial_noise_sigma") }
        for phase in list(plan, "phases") {
            var kept: [String: Field] = [:]
            let (canvas, inner) = (plane(phase, "canvas"), plane(phase, "latent"))
            for operation in list(phase, "entry") {
                latent = entered(
                    latent, by: operation, on: canvas, within: inner, noise: start,
                    keeping: &kept, isEuler: isEuler)
            }
            var state = latent.wrapped(canvas.height, canvas.width)
            for step in list(phase, "steps") {
                for operation in list(step, "before") {
                    begin(&state, by: operation, kept, within: inner, isEuler: isEuler)
                }
                advance(&state, by: step, kept, within: inner, isEuler: isEuler, kind: kind)
            }
            latent = state.cut(0, 0, inner.height, inner.width)
            for operation in list(phase, "exit") {
                guard let anchor = kept[operation["name"] as? String ?? ""],
                    operation["kind"] as? String == "restore_moments"
                else { return [] }
                latent = latent.standardised(like: anchor)
            }
        }
        return latent.values
    }

    /// One operation of a phase's entry.
    private func entered(
        _ x: Field, by operation: [String: Any], on canvas: Field, within latent: Field,
        noise: Field, keeping kept: inout [String: Field], isEuler: Bool
    ) -> Field {
        let low = plane(operation, "low")
        let (height, width) = (number(operation, "height"), number(operation, "width"))
        switch operation["kind"] as? String {
        case "picture":
            var pixels = Field(3, height, width)
            pixels.values = picture
            return pixels
        case "decode":
            return tiled(x, operation, from: 1, to: 8) { $0.toyPicture }.clamped
        case "resize_picture":
            let filters = [
                "bicubic": Field.Filter.cubic, "antialiased-bilinear": .area, "nearest": .nearest,
            ]
            guard let filter = filters[operation["filter"] as? String ?? ""] else { return x }
            return x.resized(height, width, filter).clamped
        case "sharpen_picture":
            let amount = real(operation, "factor")
            return x.merged(x.blurred(3, 1)) { $0 + amount * ($0 - $1) }.clamped
        case "pad_picture": return x.extended(height, width)
        case "encode": return tiled(x, operation, from: 8, to: 1) { $0.toyLatent }
        case "boost":
            let coarse = x.resized(low.height, low.width, .area)
                .resized(x.height, x.width, .linear)
            return coarse.merged(x) { $0 + real(operation, "factor") * ($1 - $0) }
        case "keep":
            let isEntered = x.height == latent.height && x.width == latent.width
            let whole = isEntered ? x.wrapped(canvas.height, canvas.width) : x
            kept[operation["name"] as? String ?? ""] = whole.resized(low.height, low.width, .area)
            return x
        case "keep_band":
            kept[operation["name"] as? String ?? ""] =
                x.wrapped(canvas.height, canvas.width).blockMeans.mapped { 2 * $0 }
            return x
        case "resample":
            return x.resized(height, width, .cubic)
        case "take_low":
            guard let other = kept.removeValue(forKey: operation["name"] as? String ?? "")
            else { return x.resized(0, 0, .linear) }
            let change = other.resized(x.height, x.width, .cubic).merged(x, -)
            return x.merged(
                change.resized(low.height, low.width, .area).resized(x.height, x.width, .linear),
                +)
        case "renoise":
            let isDrawn = operation["purpose"] != nil
            return noised(x, operation, with: isDrawn ? nil : noise, isEuler: isEuler)
        default: return x.resized(0, 0, .linear)
        }
    }

    /// One operation at the start of a step.
    private func begin(
        _ x: inout Field, by operation: [String: Any], _ kept: [String: Field],
        within latent: Field, isEuler: Bool
    ) {
        guard operation["kind"] as? String == "mix_anchor",
            let anchor = kept[operation["name"] as? String ?? ""]
        else {
            x.values = []
            return
        }
        let large = anchor.resized(latent.height, latent.width, .cubic)
        let noised = noised(large, operation, isEuler: isEuler).wrapped(x.height, x.width)
        x = x.merged(noised) { $0 + real(operation, "weight") * ($1 - $0) }
    }

    /// Under the noise that is given, or that the operation draws.
    private func noised(
        _ x: Field, _ operation: [String: Any], with noise: Field? = nil, isEuler: Bool
    ) -> Field {
        let sigma = real(operation, "sigma")
        let noise = noise ?? drawn(like: x, operation)
        if sigma.isInfinite { return noise }
        let scale = isEuler ? 1 : 1 / (1 + sigma * sigma).squareRoot()
        return x.merged(noise) { ($0 + sigma * $1) * scale }
    }

    /// The random numbers themselves are another matter.
    private func drawn(like x: Field, _ operation: [String: Any]) -> Field {
        let request = object(plan, "request")
        var noise = x
        for channel in 0..<x.channels {
            for row in 0..<x.height {
                var stream = PhiloxGenerator(
                    seed: UInt64(number(request, "seed")),
                    purpose: RandomPurpose(rawValue: UInt32(number(operation, "purpose")))!,
                    step: number(operation, "step"), index: channel * x.height + row)
                var numbers: [Double] = []
                while numbers.count < x.width {
                    let (even, odd) = stream.gaussianPair()
                    numbers += [even, odd]
                }
                for column in 0..<x.width { noise[channel, row, column] = numbers[column] }
            }
        }
        return noise
    }

    /// What `function` makes of every tile, each fading in over those above and left of it.
    private func tiled(
        _ x: Field, _ operation: [String: Any], from scale: Int, to newScale: Int,
        _ function: (Field) -> Field
    ) -> Field {
        let tile = plane(operation, "tile")
        let rows = operation["rows"] as? [Int] ?? []
        let columns = operation["columns"] as? [Int] ?? []
        let cells = (x.height / scale, x.width / scale)
        var out = Field(3, cells.0 * newScale, cells.1 * newScale)
        var bottom = 0
        for row in rows {
            // A row of tiles by itself, then under the one above.
            var band = Field(3, tile.height * newScale, out.width)
            var right = 0
            for column in columns {
                let piece = function(
                    x.cut(row * scale, column * scale, tile.height * scale, tile.width * scale))
                let (left, overlap) = (column * newScale, right - column * newScale)
                for (c, i, j) in piece.places {
                    let share = j < overlap ? Double(j) / Double(overlap) : 1
                    band[c, i, left + j] =
                        band[c, i, left + j] * (1 - share) + piece[c, i, j] * share
                }
                right = left + piece.width
            }
            let (top, overlap) = (row * newScale, bottom - row * newScale)
            for (c, i, j) in band.places {
                let share = i < overlap ? Double(i) / Double(overlap) : 1
                out[c, top + i, j] = out[c, top + i, j] * (1 - share) + band[c, i, j] * share
            }
            bottom = top + band.height
        }
        return out
    }

    /// In variance-preserving terms one DDIM step, and back.
    private func advance(
        _ state: inout Field, by step: [String: Any], _ kept: [String: Field],
        within latent: Field, isEuler: Bool, kind: String
    ) {
        let sigma = real(step, "sigma")
        let (now, next) = (real(step, "alpha_cumprod"), real(step, "next_alpha_cumprod"))
        let divisor = isEuler ? (sigma * sigma + 1).squareRoot() : 1
        let seen = state.mapped { $0 / divisor }
        let prediction = predict(seen, step)
        let scaled = isEuler ? state.mapped { $0 * now.squareRoot() } : state
        var clean = scaled.merged(prediction) {
            kind == "epsilon"
                ? ($0 - (1 - now).squareRoot() * $1) / now.squareRoot()
                : now.squareRoot() * $0 - (1 - now).squareRoot() * $1
        }
        for operation in list(step, "after") {
            if operation["kind"] as? String == "inject_noise" {
                let noise = scaled.merged(clean) {
                    ($0 - now.squareRoot() * $1) / (1 - now).squareRoot()
                }
                let turned = turned(noise, by: operation, within: latent)
                clean = scaled.merged(turned) {
                    ($0 - (1 - now).squareRoot() * $1) / now.squareRoot()
                }
                continue
            }
            guard let low = kept[operation["name"] as? String ?? ""] else { return }
            if operation["kind"] as? String == "swap_band" {
                let change = low.mapped { $0 / 2 }.merged(clean.blockMeans, -)
                let old = clean
                for (c, y, x) in old.places {
                    clean[c, y, x] = old[c, y, x] + change[c, y / 2, x / 2]
                }
                continue
            }
            let change = low.merged(clean.resized(low.height, low.width, .area), -)
            let factor = operation["weight"] as? Double ?? 1
            clean = clean.merged(change.resized(clean.height, clean.width, .linear)) {
                $0 + factor * $1
            }
        }
        let noise =
            now > 0
            ? scaled.merged(clean) { ($0 - now.squareRoot() * $1) / (1 - now).squareRoot() }
            : scaled
        let arrived = clean.merged(noise) { next.squareRoot() * $0 + (1 - next).squareRoot() * $1 }
        state = isEuler ? arrived.mapped { $0 / next.squareRoot() } : arrived
    }

    /// Some noise on its way to another, at the same length.
    private func turned(
        _ noise: Field, by operation: [String: Any], within latent: Field
    ) -> Field {
        func product(_ one: Field, _ other: Field) -> Double {
            zip(one.values, other.values).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let own = noise.cut(0, 0, latent.height, latent.width)
        let other = drawn(like: own, operation)
        let cosine = product(own, other) / (product(own, own) * product(other, other)).squareRoot()
        let (angle, share) = (acos(cosine), real(operation, "factor"))
        return noise.merged(other.wrapped(noise.height, noise.width)) {
            (sin((1 - share) * angle) * $0 + sin(share * angle) * $1) / sin(angle)
        }
    }

    /// The mixture of all groups' weighted means.
    private func predict(_ canvas: Field, _ step: [String: Any]) -> Field {
        let views = list(step, "views")
        guard let groups = step["groups"] as? [[String: Any]] else {
            return predict(canvas, from: canvas, views, step)
        }
        var mixture = canvas.mapped { _ in 0 }
        for (index, group) in groups.enumerated() {
            var source = canvas
            if group["source"] as? String == "blurred" {
                let blurred = canvas.blurred(number(group, "kernel_size"), real(group, "sigma"))
                source = blurred.standardised(like: canvas)
            }
            let own = views.filter { $0["group"] as? Int == index }
            let mean = predict(
                canvas, from: source, own, step, prompt: group["prompt"] as? Int ?? 0)
            for (c, y, x) in mixture.places {
                let part = share(of: group, among: groups, y, x)
                if part > 0 { mixture[c, y, x] += part * mean[c, y, x] }
            }
        }
        return mixture
    }

    /// What a group counts at a position.
    private func share(
        of group: [String: Any], among groups: [[String: Any]], _ y: Int, _ x: Int
    ) -> Double {
        func holds(_ group: [String: Any]) -> Bool {
            let (region, top, left) = (
                object(group, "region"), number(object(group, "region"), "y"),
                number(object(group, "region"), "x")
            )
            return (top..<top + number(region, "height")).contains(y)
                && (left..<left + number(region, "width")).contains(x)
        }
        let regions = groups.filter { $0["region"] != nil }
        guard !regions.isEmpty else { return real(group, "share") }
        let count = regions.count(where: holds)
        if group["elsewhere"] as? Bool == true { return count == 0 ? 1 : 0 }
        return holds(group) ? 1 / Double(count) : 0
    }

    /// The weighted mean of some views' predictions.
    private func predict(
        _ canvas: Field, from source: Field, _ views: [[String: Any]], _ step: [String: Any],
        prompt: Int = 0
    ) -> Field {
        let input = source.values
        var sum = [Double](repeating: 0, count: input.count)
        var weights = sum
        for view in views {
            let addresses = addresses(of: view, canvas.height, canvas.width)
            let seen = addresses.cells.map { $0 < 0 ? 0 : input[$0] }
            var prediction = Field(channels, addresses.height, addresses.width)
            prediction.values = network(
                seen, height: addresses.height, width: addresses.width,
                timestep: real(step, "timestep"), timeIDs: view["time_ids"] as? [Int] ?? [],
                prompt: prompt)
            let output = guided(prediction, step).values
            let rows = view["row_weights"] as? [Double]
            let columns = view["column_weights"] as? [Double]
            for (element, address) in addresses.cells.enumerated() where address >= 0 {
                let row = element / addresses.width % addresses.height
                let column = element % addresses.width
                let weight =
                    real(view, "weight") * (rows?[row] ?? 1) * (columns?[column] ?? 1)
                sum[address] += weight * output[element]
                weights[address] += weight
            }
        }
        var mean = canvas
        mean.values = zip(sum, weights).map { $0 / $1 }
        return mean
    }

    /// A prediction, and in bands what guidance makes of it and of the toy's without a prompt.
    private func guided(_ prediction: Field, _ step: [String: Any]) -> Field {
        guard let bands = step["band_split"] as? [String: Any] else { return prediction }
        let unconditional = prediction.mapped { 0.9 * $0 + 0.01 }
        let low = plane(bands, "low")
        func coarse(_ x: Field) -> Field {
            x.resized(low.height, low.width, .linear).resized(x.height, x.width, .linear)
        }
        func weighted(_ u: Field, _ c: Field, by weight: Double) -> Field {
            u.merged(c) { $0 + weight * ($1 - $0) }
        }
        let parts = [
            weighted(
                coarse(unconditional), coarse(prediction), by: real(step, "guidance_scale")),
            weighted(
                unconditional.merged(coarse(unconditional), -),
                prediction.merged(coarse(prediction), -), by: real(bands, "high_scale")),
        ]
        return parts[0].merged(parts[1], +)
    }

    /// Where each element of a view lies on the canvas, −1 outside.
    private func addresses(
        of view: [String: Any], _ height: Int, _ width: Int
    ) -> (height: Int, width: Int, cells: [Int]) {
        var cells: [Int] = []
        if view["kind"] as? String == "window" {
            let (viewHeight, viewWidth) = (number(view, "height"), number(view, "width"))
            let wraps = view["wraps"] as? Bool ?? false
            for channel in 0..<channels {
                for y in number(view, "y")..<number(view, "y") + viewHeight {
                    for x in number(view, "x")..<number(view, "x") + viewWidth {
                        let (y, x) = wraps ? (y % height, x % width) : (y, x)
                        let isInside = y >= 0 && y < height && x >= 0 && x < width
                        cells.append(isInside ? (channel * height + y) * width + x : -1)
                    }
                }
            }
            return (viewHeight, viewWidth, cells)
        }
        let rowStride = number(view, "stride")
        let columnStride = view["column_stride"] as? Int ?? rowStride
        let (viewHeight, viewWidth) = (height / rowStride, width / columnStride)
        let permutation = view["permutation"] as? [Int]
        for channel in 0..<channels {
            for i in 0..<viewHeight {
                for j in 0..<viewWidth {
                    var phase = number(view, "row") * columnStride + number(view, "column")
                    if let permutation {
                        let cell = i * viewWidth + j
                        let isShared = permutation.count == viewHeight * viewWidth
                        phase =
                            permutation[
                                isShared ? cell : channel * viewHeight * viewWidth + cell]
                    }
                    let y = i * rowStride + phase / columnStride
                    let x = j * columnStride + phase % columnStride
                    cells.append((channel * height + y) * width + x)
                }
            }
        }
        return (viewHeight, viewWidth, cells)
    }

    /// The same stand-in as `entangledPredictor`, written anew.
    private func network(
        _ seen: [Double], height: Int, width: Int, timestep: Double, timeIDs: [Int], prompt: Int
    ) -> [Double] {
        let mean = seen.reduce(0, +) / Double(seen.count)
        var place = 0
        for (index, id) in timeIDs.enumerated() { place += id * (index + 1) }
        return seen.indices.map { index in
            let (channel, cell) = (index / (height * width), index % (height * width))
            let (y, x) = (cell / width, cell % width)
            let neighbour =
                (((channel + 1) % channels) * height + y) * width + (x + 1) % width
            return 0.3 * seen[index] + 0.2 * seen[neighbour] + 0.05 * mean + 1e-4 * timestep
                + 1e-4 * Double(place) + 0.1 * Double(prompt)
        }
    }
}

/// Planes of numbers in double precision.
private struct Field {
    let channels: Int
    let height: Int
    let width: Int
    var values: [Double]

    init(_ channels: Int, _ height: Int, _ width: Int) {
        (self.channels, self.height, self.width) = (channels, height, width)
        values = Array(repeating: 0, count: max(0, channels * height * width))
    }

    subscript(channel: Int, y: Int, x: Int) -> Double {
        get { values[(channel * height + y) * width + x] }
        set { values[(channel * height + y) * width + x] = newValue }
    }

    var places: [(Int, Int, Int)] {
        (0..<channels).flatMap { c in
            (0..<height).flatMap { y in (0..<width).map { x in (c, y, x) } }
        }
    }

    func mapped(_ change: (Double) -> Double) -> Field {
        var result = self
        result.values = values.map(change)
        return result
    }

    func merged(_ other: Field, _ change: (Double, Double) -> Double) -> Field {
        var result = self
        result.values = zip(values, other.values).map(change)
        return result
    }

    var clamped: Field { mapped { min(max($0, 0), 1) } }

    func cut(_ top: Int, _ left: Int, _ height: Int, _ width: Int) -> Field {
        var part = Field(channels, height, width)
        for (c, y, x) in part.places { part[c, y, x] = self[c, top + y, left + x] }
        return part
    }

    func wrapped(_ height: Int, _ width: Int) -> Field {
        var whole = Field(channels, height, width)
        for (c, y, x) in whole.places { whole[c, y, x] = self[c, y % self.height, x % self.width] }
        return whole
    }

    /// Shifted and scaled to another's mean and deviation, over everything.
    func standardised(like other: Field) -> Field {
        let ((mean, deviation), (newMean, newDeviation)) = (moments, other.moments)
        return mapped { ($0 - mean) / deviation * newDeviation + newMean }
    }

    private var moments: (Double, Double) {
        let mean = values.reduce(0, +) / Double(values.count)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / Double(values.count)).squareRoot())
    }

    /// By a two-dimensional kernel, mirrored at the edges.
    func blurred(_ size: Int, _ sigma: Double) -> Field {
        func mirrored(_ place: Int, _ count: Int) -> Int {
            var place = place
            while !(0..<count).contains(place) {
                place = place < 0 ? -place : 2 * (count - 1) - place
            }
            return place
        }
        let reach = size / 2
        var taps: [(Int, Int, Double)] = []
        for a in -reach...reach {
            for b in -reach...reach {
                taps.append((a, b, exp(-Double(a * a + b * b) / (2 * sigma * sigma))))
            }
        }
        let total = taps.reduce(0) { $0 + $1.2 }
        var result = self
        for (c, y, x) in places {
            result[c, y, x] = taps.reduce(0) { sum, tap in
                sum + tap.2 / total
                    * self[c, mirrored(y + tap.0, height), mirrored(x + tap.1, width)]
            }
        }
        return result
    }

    /// The mean of every 2×2 block, the last row and column of odd sides counted twice.
    var blockMeans: Field {
        var means = Field(channels, (height + 1) / 2, (width + 1) / 2)
        for (c, y, x) in means.places {
            for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                means[c, y, x] +=
                    self[c, min(2 * y + dy, height - 1), min(2 * x + dx, width - 1)] / 4
            }
        }
        return means
    }

    func extended(_ height: Int, _ width: Int) -> Field {
        var whole = Field(channels, height, width)
        for (c, y, x) in whole.places {
            whole[c, y, x] = self[c, min(y, self.height - 1), min(x, self.width - 1)]
        }
        return whole
    }

    enum Filter { case linear, area, cubic, nearest }

    /// Element by element, by the kernels' formulas.
    func resized(_ newHeight: Int, _ newWidth: Int, _ filter: Filter) -> Field {
        func weights(_ count: Int, _ newCount: Int, _ index: Int) -> [(Int, Double)] {
            if filter == .nearest { return [(index * count / newCount, 1)] }
            let scale = Double(count) / Double(newCount)
            let centre = (Double(index) + 0.5) * scale - 0.5
            let reach = filter == .cubic ? 2 : filter == .area ? max(scale, 1) : 1
            var found: [(Int, Double)] = []
            for place in Int((centre - reach).rounded(.down))...Int((centre + reach).rounded(.up)) {
                let distance = abs(Double(place) - centre)
                let weight: Double
                switch filter {
                case .linear, .area: weight = max(0, 1 - distance / reach)
                case .cubic where distance <= 1:
                    weight = 1.25 * distance * distance * distance - 2.25 * distance * distance + 1
                case .cubic where distance < 2:
                    weight =
                        -0.75 * distance * distance * distance + 3.75 * distance * distance
                        - 6 * distance + 3
                case .cubic, .nearest: weight = 0
                }
                if filter == .area, !(0..<count).contains(place) { continue }
                found.append((min(max(place, 0), count - 1), weight))
            }
            let sum = found.reduce(0) { $0 + $1.1 }
            return found.map { ($0.0, $0.1 / sum) }
        }
        let rows = (0..<newHeight).map { weights(height, newHeight, $0) }
        let columns = (0..<newWidth).map { weights(width, newWidth, $0) }
        var wide = Field(channels, height, newWidth)
        for (c, y, x) in wide.places {
            var sum = 0.0
            for (column, weight) in columns[x] { sum += weight * self[c, y, column] }
            wide[c, y, x] = sum
        }
        var result = Field(channels, newHeight, newWidth)
        for (c, y, x) in result.places {
            var sum = 0.0
            for (row, weight) in rows[y] { sum += weight * wide[c, row, x] }
            result[c, y, x] = sum
        }
        return result
    }

    /// The same stand-ins for the autoencoder as `toyAnswer`'s, written anew.
    var toyPicture: Field {
        var pixels = Field(3, height * 8, width * 8)
        for (c, y, x) in pixels.places {
            pixels[c, y, x] = min(max(self[c, y / 8, x / 8] / 8 + 0.5, 0), 1)
        }
        return pixels
    }

    var toyLatent: Field {
        var latent = Field(3, height / 8, width / 8)
        for (c, y, x) in places { latent[c, y / 8, x / 8] += (self[c, y, x] * 8 - 4) / 64 }
        return latent
    }
}

@Suite("An expanded plan can be replayed by another program", .watched)
struct ReplayTests {
    /// A variant of a request to replay.
    struct Case: Sendable, CustomTestStringConvertible {
        let method: String
        let scheduler: String
        let height: Int
        let width: Int
        var prediction = PredictionType.epsilon
        var zeroTerminalSNR = false
        /// Pixels of a picture to start from.
        var image: Extent?
        var change: @Sendable (inout PlanRequest) -> Void = { _ in }

        var testDescription: String { "\(method), \(scheduler), \(width)×\(height)" }
    }

    static let cases = [
        Case(method: "direct", scheduler: "euler", height: 75, width: 130),
        Case(method: "multidiffusion", scheduler: "ddim", height: 75, width: 130) {
            $0.feather = .gaussian
            $0.jitter = true
        },
        Case(method: "cutdiffusion", scheduler: "euler", height: 128, width: 192),
        Case(method: "cutdiffusion", scheduler: "euler", height: 104, width: 150) {
            $0.interaction = .perChannel
            $0.viewsPerTask = 3
        },
        Case(
            method: "cutdiffusion", scheduler: "ddim", height: 128, width: 128,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "cutdiffusion", scheduler: "euler", height: 64, width: 128) {
            $0.compatibility = .cutDiffusion
        },
        Case(method: "upscale", scheduler: "euler", height: 128, width: 128),
        Case(
            method: "upscale", scheduler: "ddim", height: 150, width: 331,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "demofusion", scheduler: "euler", height: 150, width: 201) {
            $0.viewsPerTask = 3
            $0.feather = .cosine
        },
        Case(
            method: "demofusion", scheduler: "ddim", height: 192, width: 192,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "accdiffusion", scheduler: "ddim", height: 150, width: 201),
        Case(method: "rectifiedhr", scheduler: "euler", height: 201, width: 150) {
            $0.viewsPerTask = 3
        },
        Case(
            method: "rectifiedhr", scheduler: "ddim", height: 192, width: 192,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "diffusehigh", scheduler: "euler", height: 201, width: 150),
        Case(
            method: "diffusehigh", scheduler: "ddim", height: 136, width: 264,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "pixelrush", scheduler: "euler", height: 201, width: 150),
        Case(
            method: "pixelrush", scheduler: "ddim", height: 136, width: 264,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "frecas", scheduler: "euler", height: 201, width: 150) {
            $0.viewsPerTask = 3
        },
        Case(
            method: "frecas", scheduler: "ddim", height: 136, width: 264,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(method: "spotdiffusion", scheduler: "euler", height: 75, width: 230),
        Case(method: "multidiffusion", scheduler: "euler", height: 100, width: 230) {
            $0.regions = [
                Rectangle(x: 0, y: 0, width: 120, height: 100),
                Rectangle(x: 80, y: 30, width: 60, height: 70),
            ]
            $0.viewsPerTask = 3
            $0.jitter = true
        },
        Case(method: "multidiffusion", scheduler: "ddim", height: 75, width: 200) {
            $0.panorama = true
            $0.stride = 3
            $0.feather = .gaussian
            $0.regions = [Rectangle(x: 150, y: 0, width: 50, height: 75)]
        },
        Case(
            method: "upscale", scheduler: "ddim", height: 150, width: 331,
            prediction: .vPrediction, zeroTerminalSNR: true
        ) { $0.regions = [Rectangle(x: 100, y: 20, width: 231, height: 130)] },
        Case(method: "scalediff", scheduler: "euler", height: 128, width: 128),
        Case(
            method: "scalediff", scheduler: "ddim", height: 75, width: 180,
            prediction: .vPrediction, zeroTerminalSNR: true),
        Case(
            method: "upscale", scheduler: "euler", height: 200, width: 131,
            image: Extent(height: 100, width: 66)),
        Case(
            method: "upscale", scheduler: "ddim", height: 41, width: 131,
            prediction: .vPrediction, zeroTerminalSNR: true, image: Extent(height: 50, width: 160)
        ) { $0.image?.strength = 1 },
    ]

    private func sampler(_ test: Case) -> Sampler {
        guard test.zeroTerminalSNR else {
            return makeSampler(test.scheduler, prediction: test.prediction)
        }
        var configuration = SchedulerConfiguration.latentDiffusion(className: "DDIMScheduler")
        configuration.predictionType = test.prediction.rawValue
        configuration.rescaleBetasZeroSNR = true
        configuration.timestepSpacing = "trailing"
        return Sampler(name: test.scheduler, configuration: configuration)
    }

    @Test("with the same result", arguments: cases)
    func replay(test: Case) async throws {
        let request = makeRequest(
            height: test.height, width: test.width, sampler: sampler(test)
        ) { request in
            request.image = test.image.map { StartImage(extent: $0, digest: "0") }
            test.change(&request)
        }
        let picture = test.image.map(toyPhoto)
        let plan = try DenoisingMethods.method(named: test.method).plan(for: request)
        let loop = makeLoop(
            plan, openPicture: picture.map { picture in toyBands(of: picture) })
        let noise = InitialNoise.native.latent(
            channels: 3, height: plan.noise.height, width: plan.noise.width, seed: 11)
        let result = try await loop.run(
            from: loop.initialState(noise: noise),
            with: SimulatedWorkers(workers: 3, predict: entangledPredictor))

        let data = try JSONEncoder().encode(PlanDocument(plan, expanded: true))
        let object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let replay = Replay(plan: object, picture: picture?.values.map(Double.init) ?? [])
        let replayed = replay.run(noise.values.map(Double.init))
        let latent = Latent(
            channels: 3, height: plan.latent.height, width: plan.latent.width,
            values: replayed.map(Float.init))
        #expect(relativeDifference(latent, result) < 1e-4)
    }

    @Test("and says what its readers rely on")
    func keys() throws {
        let request = makeRequest(height: 128, width: 128) { $0.structureSteps = 3 }
        let plan = try CutDiffusionMethod().plan(for: request)
        let data = try JSONEncoder().encode(PlanDocument(plan, expanded: true))
        let object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let latent = try #require(object["latent"] as? [String: Int])
        #expect(latent == ["height": 16, "width": 16, "channels": 3])
        let fields = try #require(object["request"] as? [String: Any])
        #expect(fields["structure_steps"] as? Int == 3)
        let phases = try #require(object["phases"] as? [[String: Any]])
        let steps = try #require(phases.first?["steps"] as? [[String: Any]])
        #expect(steps.count == 6)
        for (index, step) in steps.enumerated() {
            #expect(step["index"] as? Int == index)
            for key in ["timestep", "sigma", "guidance_scale"] { #expect(step[key] is Double) }
            let views = try #require(step["views"] as? [[String: Any]])
            let isStructure = index < 3
            #expect(views.count == (isStructure ? 4 : 9))
            for (number, view) in views.enumerated() {
                #expect(view["kind"] as? String == (isStructure ? "lattice" : "window"))
                let keys =
                    isStructure ? ["row", "column", "stride"] : ["y", "x", "height", "width"]
                for key in keys { #expect(view[key] is Int) }
                #expect((view["permutation"] as? [Int])?.count == (isStructure ? 64 : nil))
                #expect((view["time_ids"] as? [Int])?.count == 6)
                #expect(view["weight"] as? Double == 1)
                #expect(view["task"] as? Int == number)
            }
        }
    }

    @Test("or printed in short")
    func short() throws {
        let plan = try CutDiffusionMethod().plan(for: makeRequest(height: 128, width: 128))
        let data = try JSONEncoder().encode(PlanDocument(plan, expanded: false))
        let object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let phases = try #require(object["phases"] as? [[String: Any]])
        let steps = try #require(phases.first?["steps"] as? [[String: Any]])
        #expect(steps[0]["views"] == nil)
        #expect(steps[0]["view_count"] as? Int == 4)
    }
}
