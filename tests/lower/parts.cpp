// A walk in parts whose states are merged, on the CPU and as blocks of GPU threads:
// the same results as one walk, whatever parts are left without tiles.

#include "CpuHarness.h"
#include "lower/simt/LowerSimt.h"

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

struct Case {
    const char *name;
    Define define;
    Type type = Float(32);
};

std::ostream &operator<<(std::ostream &s, const Case &c) {
    return s << c.name;
}

std::vector<Case> cases() {
    return {
        {"full", [](Inputs &in) { return in.attend(in.score()); }},
        {"causal_bf16", [](Inputs &in) { return in.attend(where(strobe::causal(in.i, in.j), in.score())); },
         BFloat(16)},
        {"window",
         [](Inputs &in) { return in.attend(where(strobe::sliding_window(in.i, in.j, 20), in.score())); }},
        {"documents",
         [](Inputs &in) {
             return in.attend(where(strobe::same_document(in.document, in.i, in.j, in.b), in.score()));
         }},
        {"no_pivot",
         [](Inputs &in) {
             Func weights("weights"), out("out");
             weights(in.j, in.i, in.h, in.b) = max(in.score(), 0.0f);
             out(in.d, in.i, in.h, in.b) = weighted_sum(weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b);
             return std::vector<Func>{out};
         }},
    };
}

class Parts : public testing::TestWithParam<Case> {};

void check(const Case &c, int parts, const Lower &lower) {
    SCOPED_TRACE(std::to_string(parts) + " parts");
    CpuProgram program(c.define, c.type, 16, 24, 16, 16, lower, parts);
    for (const Shape &shape : {Shape{1, 1, 1, 1, 1}, Shape{5, 97, 2, 1, 2}, Shape{40, 133, 2, 2, 1}, Shape{70, 30, 1, 1, 1},
                               Shape{20, 0, 1, 1, 1}, Shape{0, 20, 1, 1, 1}}) {
        program.check(shape, {0, 1, 2, 3}, 3);
    }
}

TEST_P(Parts, OnTheCpu) {
    check(GetParam(), 2, lower_cpu);
    check(GetParam(), 7, lower_cpu);
}

TEST_P(Parts, AsBlocksOfThreads) {
    for (bool descending : {false, true}) {
        check(GetParam(), 3, [=](const TileProgram &program, const Choices &, const Target &) {
            return lower_simt_serially(program, descending);
        });
    }
}

INSTANTIATE_TEST_SUITE_P(, Parts, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) { return info.param.name; });

}  // namespace
