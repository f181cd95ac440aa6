// Algorithms and schedules without a tile form: the error names the Func, the reason and what is supported.
#include "HandMade.h"

#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;

namespace {

const Sizes sizes{16, 16, 1, 1, 1, 4, 3};

void expect_user_error(const HandMade &a, const std::vector<std::string> &parts) {
    try {
        a.build();
        FAIL() << "accepted";
    } catch (const UserError &e) {
        for (const std::string &part : parts) {
            EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
                << "expected: " << part << "\ngot: " << e.what();
        }
    }
}

HandMade full() {
    return HandMade(Halide::Float(32), sizes, 8, 8);
}

TEST(BadAlgorithm, UnknownHeadDimension) {
    HandMade a = full();
    const ImageParam free_v(Halide::Float(32), 4, "free_v");
    a.graph.axes.back().extent = free_v.dim(0).extent();
    a.v = free_v;
    a.softmax(a.scores());
    expect_user_error(
        a, {"The size of axis c (free_v.extent.0) must be a constant", "declare free_v.dim(0).set_bounds(0, D)"});
}

TEST(BadAlgorithm, InnerReductionOverTwoLongAxes) {
    HandMade a = full();
    a.graph.axes.push_back({"z", 0, 20});
    a.graph.axes.push_back({"y", 0, 30});
    a.graph.reductions[0].over = {"d", "z", "y"};
    a.softmax(a.scores());
    expect_user_error(a, {"In algorithm for scores: can't compute sum of", "several long axes", "Supported:"});
}

TEST(BadAlgorithm, TwoLongFeatureAxes) {
    HandMade a = full();
    a.graph.axes.push_back({"z", 0, 40});
    a.graph.axes.push_back({"y", 0, 30});
    a.softmax(a.scores());
    const Expr z = Halide::Internal::Variable::make(Halide::Int(32), "z"), y = Halide::Internal::Variable::make(Halide::Int(32), "y");
    a.plan.passes[0].moments[1].factor = a.value_load() * Halide::cast<float>(z + y);
    expect_user_error(a, {"In algorithm for out: can't compute the sum of", "two long feature axes", "Supported:"});
}

TEST(BadAlgorithm, NoQueryAxis) {
    HandMade a = full();
    a.softmax(a.scores());
    a.plan.roles.query = "";
    expect_user_error(a, {"In algorithm hand_made", "no query rows to tile", "add a query axis of extent 1"});
}

TEST(BadAlgorithm, UnknownOperandType) {
    HandMade a = full();
    a.choices.mma["scores"] = "int4";
    a.softmax(a.scores());
    expect_user_error(a, {"In schedule for scores: can't mma(int4)", "bf16, fp16, fp32 or own"});
}

TEST(AxisSize, ComesFromWhatIsKnown) {
    HandMade a = full();
    const ImageParam free_v(Halide::Float(32), 4, "free_v");
    a.graph.axes.back().extent = free_v.dim(0).extent();
    a.v = free_v;
    a.softmax(a.scores());
    EXPECT_EQ(build_tiles("given", a.graph, a.plan, a.choices, {{"c", 11}}).value("%m1").dims[1].size, 11);
    a.v.dim(0).set_estimate(0, 12);
    EXPECT_EQ(a.build().value("%m1").dims[1].size, 12);
    a.v.dim(0).set_bounds(0, 13);
    EXPECT_EQ(a.build().value("%m1").dims[1].size, 13);
}

}  // namespace
