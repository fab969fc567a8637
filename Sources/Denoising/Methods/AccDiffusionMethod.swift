/// AccDiffusion (Lin et al. 2024, arXiv 2407.10738), as far as it needs nothing from inside the
/// network: DemoFusion whose lattices exchange the elements of every position in every step
/// (dilated sampling with window interaction, section 3.3), as CutDiffusion's do.
///
/// The paper's other half is missing: prompts for each window, of the words whose cross-attention is
/// strong there (section 3.2). Workers do not hand out attention maps.
package struct AccDiffusionMethod: DenoisingMethod {
    private let demofusion = DemoFusionMethod(
        name: "accdiffusion", summary: "demofusion whose lattices exchange elements",
        interaction: .perChannel)

    package init() {}

    package var name: String { demofusion.name }
    package var summary: String { demofusion.summary }
    package var options: [MethodOption] { demofusion.options }

    package func plan(for request: PlanRequest) throws(PlanningError) -> DenoisingPlan {
        try demofusion.plan(for: request)
    }
}
