internal import Sampling
package import Tensors

/// Convolution of every plane with a Gaussian that is cut off and adds up to one, first along
/// rows, then along columns: torchvision's `gaussian_blur`, and with zeros around the image
/// DemoFusion's (arXiv 2311.16973).
package struct GaussianBlur: Hashable, Sendable {
    /// Elements on a side of the kernel, odd.
    package let kernelSize: Int
    /// Standard deviation in elements, positive.
    package let sigma: Double
    /// What lies around the image.
    package let surroundings: Surroundings

    /// What is taken for the elements that an image does not have.
    package enum Surroundings: Hashable, Sendable {
        /// The image in a mirror that lies on its outermost elements, again and again.
        case reflection
        case zeros
    }

    /// Traps on an even kernel size and on a deviation that is not positive.
    package init(kernelSize: Int, sigma: Double, surroundings: Surroundings = .reflection) {
        precondition(kernelSize > 0 && kernelSize % 2 == 1, "a kernel has a middle")
        precondition(sigma > 0, "a deviation is positive")
        self.kernelSize = kernelSize
        self.sigma = sigma
        self.surroundings = surroundings
    }

    /// The image, blurred.
    package func callAsFunction<Image: Planar>(_ image: Image) -> Image {
        let (height, width) = (image.height, image.width)
        var values = image.values
        for channel in 0..<image.channels {
            let plane = channel * height * width
            for row in 0..<height {
                blur(&values, from: plane + row * width, count: width, step: 1)
            }
            for column in 0..<width {
                blur(&values, from: plane + column, count: height, step: width)
            }
        }
        return Image(
            channels: image.channels, height: height, width: width, values: values)
    }

    /// Blurs one line in place: elements `step` apart.
    private func blur(_ values: inout [Float], from start: Int, count: Int, step: Int) {
        let weights = weights
        let radius = kernelSize / 2
        let line = (-radius..<count + radius).map { position in
            source(position, count: count).map { values[start + $0 * step] } ?? 0
        }
        for index in 0..<count {
            var sum = Float(0)
            for tap in 0..<kernelSize { sum += weights[tap] * line[index + tap] }
            values[start + index * step] = sum
        }
    }

    private var weights: [Float] {
        let middle = Double(kernelSize - 1) / 2
        let bell = (0..<kernelSize).map { index in
            let distance = (Double(index) - middle) / sigma
            return Elementary.exponential(-distance * distance / 2)
        }
        let sum = bell.reduce(0, +)
        return bell.map { Float($0 / sum) }
    }

    /// Which element of a line is taken for the one at `position`; nil for a zero.
    private func source(_ position: Int, count: Int) -> Int? {
        if (0..<count).contains(position) { return position }
        guard surroundings == .reflection else { return nil }
        guard count > 1 else { return 0 }
        let period = 2 * (count - 1)
        let phase = ((position % period) + period) % period
        return min(phase, period - phase)
    }
}
