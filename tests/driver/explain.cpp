// Explanations, compared with tests/golden/explain_*.txt.

#include "driver/Explain.h"
#include "../schedule/HandMadePlans.h"
#include "../tile/Golden.h"
#include "schedule/ParseSchedule.h"

#include <gtest/gtest.h>

using namespace strobe;
using hand_made::attention;
using hand_made::Mask;
using hand_made::Options;

namespace {

std::string explanation(const Options &options, const std::string &shape, const std::string &machine = "sm_90a",
                        const std::string &given = "") {
    hand_made::Example x = attention(options);
    const Capability capability = capability_of(machine);
    return explain(
        x.graph, x.plan, capability,
        autoschedule(x.graph, x.plan, capability, parse_shape(shape, x.graph, x.plan.roles), parse_schedule(given)));
}

TEST(Explain, SoftcapWindow) {
    Options o;
    o.mask = Mask::Window;
    o.softcap = true;
    test::expect_golden("explain_softcap_window.txt", explanation(o, "S=16384 D=64 H=16 B=1 window=256"));
}

TEST(Explain, Causal128) {
    Options o;
    o.mask = Mask::Causal;
    o.head = o.value = 128;
    test::expect_golden("explain_causal_128.txt", explanation(o, "S=16384 H=16 B=1"));
}

std::string plans_of(const Options &options) {
    hand_made::Example x = attention(options);
    const Capability capability = capability_of("sm_90a");
    return explain(autoschedule_shapes(x.graph, x.plan, capability, typical_shapes(x.graph, x.plan.roles)), x.plan,
                   capability);
}

TEST(Explain, Plans) {
    Options o;
    o.head = o.value = 128;
    const std::string two = plans_of(o);
    o.mask = Mask::Causal;
    test::expect_golden("explain_plans.txt", two + plans_of(o));
}

TEST(Explain, Document) {
    Options o;
    o.mask = Mask::Document;
    test::expect_golden("explain_document.txt", explanation(o, "S=4096 H=16 B=4"));
}

TEST(Explain, TwoPassesByHand) {
    Options o;
    o.threshold = true;
    test::expect_golden("explain_two_passes.txt",
                        explanation(o, "S=4096 H=16 B=4", "sm_90a", "tile(i, 128) stream(j, 96)"));
}

TEST(Explain, Cpu) {
    Options o;
    o.mask = Mask::Causal;
    o.element = Halide::Float(32);
    test::expect_golden("explain_cpu.txt", explanation(o, "S=2048 H=16 B=1", "x86-avx2"));
}

}  // namespace
