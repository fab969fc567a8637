import TestSupport
import Testing
import TextToImage

@Suite("Picture sizes as people write them", .watched)
struct PictureSizeTests {
    @Test("width x height and multiples of the native side are understood")
    func understood() throws {
        #expect(PictureSize("900x640") == .pixels(width: 900, height: 640))
        #expect(PictureSize("900X640") == .pixels(width: 900, height: 640))
        #expect(PictureSize("4x") == .times(4))
        #expect(PictureSize("1.5x") == .times(1.5))
        #expect(try PictureSize("4x")!.resolved(nativeSide: 128) == (512, 512))
        #expect(try PictureSize("300x200")!.resolved(nativeSide: 128) == (300, 200))
    }

    @Test(
        "anything else is refused",
        arguments: ["", "x", "12", "x5", "0x", "-2x", "nanx", "infx", "1x2x3", "a x b", "4 x"]
    )
    func refused(text: String) {
        #expect(PictureSize(text) == nil)
    }

    @Test("an absurd multiple stays a number that the planner can refuse")
    func absurdMultiple() throws {
        #expect(try PictureSize("1e300x")!.resolved(nativeSide: 1024).width == 1_024_000_000)
    }
}
