// Each shipped algorithm as blocks of GPU threads (the general form), run serially on
// the CPU against float64: what can be known of the kernels where there is no GPU.

#include "driver/CompileGeneral.h"
#include "driver/Problem.h"
#include "driver/Reference.h"
#include "lower/Lower.h"
#include "lower/ReplaceNest.h"
#include "lower/simt/LowerSimt.h"
#include "schedule/ParseSchedule.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace Halide;
using namespace strobe;

namespace {

struct Case {
    std::string variant, dtype;
};

std::ostream &operator<<(std::ostream &s, const Case &c) {
    return s << c.variant << "_" << c.dtype;
}

Instance build(const Case &c) {
    return build_algorithm(c.variant, {{"dtype", c.dtype}, {"head_dim", "24"}, {"value_dim", "16"}}, get_host_target());
}

/** The general form's blocks in the place of the pipeline's own loops. */
void install_blocks(Instance &instance) {
    const Compilation c = compile_general(instance.outputs, capability_of("sm_90a"),
                                          parse_schedule("kernel(general) tile(i, 32) stream(j, 48)"));
    const Internal::Stmt nest = run_lower_passes(cpu_passes(), lower_simt_serially(c.program, false));
    compute_reductions_at_root(instance.outputs);
    install_nest(instance.pipeline, nest);
}

std::vector<Buffer<>> run(Instance &instance, Pipeline pipeline, const std::vector<Func> &outputs, const Problem &p,
                          const Target &target) {
    bind_inputs(instance, p);
    std::vector<Buffer<>> results = make_outputs(instance, outputs, p);
    pipeline.realize(Realization(results), target);
    return results;
}

double largest(const Buffer<> &b) {
    double size = 0;
    for (int64_t n = 0; n < (int64_t)b.number_of_elements(); n++) {
        const double x = std::abs(element(b, n));
        size = std::isfinite(x) ? std::max(size, x) : size;
    }
    return size;
}

class GeneralBlocks : public testing::TestWithParam<Case> {};

TEST_P(GeneralBlocks, AreAsExactAsTheAlgorithm) {
    Instance blocks = build(GetParam()), plain = build(GetParam()), exact = build(GetParam());
    install_blocks(blocks);
    compute_reductions_at_root(plain.outputs);
    const std::vector<Func> wide = widen_to_float64(exact.outputs);
    compute_reductions_at_root(wide);
    for (const Problem &p : {Problem{2, 4, 2, 67, 131, 1, {}}, Problem{1, 1, 1, 33, 20, 2, {}}}) {
        SCOPED_TRACE(std::to_string(p.queries) + " queries, " + std::to_string(p.keys) + " keys");
        const auto expected = run(exact, Pipeline(wide), wide, p, reference_target());
        const auto unfused = run(plain, plain.pipeline, plain.outputs, p, reference_target());
        const auto got = run(blocks, blocks.pipeline, blocks.outputs, p, get_host_target());
        for (size_t n = 0; n < got.size(); n++) {
            // The contraction's weights are rounded to the operands' type, too.
            const Type type = blocks.outputs[0].type();
            const double size = largest(expected[n]);
            const double rounding = unit_roundoff(type) * (type.bits() == 32 ? 16 : 2) * size;
            const double allowed = 2 * difference(unfused[n], expected[n]).largest + rounding;
            const Difference d = difference(got[n], expected[n]);
            EXPECT_LE(d.largest, allowed) << "output " << n << ", element " << d.at << ": got " << element(got[n], d.at)
                                          << ", expected " << element(expected[n], d.at);
        }
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const char *variant : {"full", "causal", "alibi", "softcap", "sliding_window", "prefix_lm", "document_mask"}) {
        for (const char *dtype : {"fp32", "bf16"}) {
            all.push_back({variant, dtype});
        }
    }
    return all;
}

INSTANTIATE_TEST_SUITE_P(All, GeneralBlocks, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) { return testing::PrintToString(info.param); });

}  // namespace
