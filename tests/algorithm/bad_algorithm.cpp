// Funcs outside the model: the class of the error, the Func's name and the reason.
#include "algorithm/ReadAlgorithm.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using Halide::Expr;
using Halide::Func;
using Halide::ImageParam;
using Halide::RDom;
using Halide::Tuple;
using Halide::Var;

namespace {

struct BadAlgorithm : testing::Test {
    ImageParam in{Halide::Float(32), 2, "in"};
    Var x{"x"}, y{"y"};
    RDom r{0, 16, "r"};
    Func f{"culprit"}, out{"out"};

    /** read_algorithm throws a UserError whose text has all of these. */
    void expect_refused(const std::vector<Func> &outputs, const std::vector<std::string> &parts) {
        try {
            const ReductionGraph graph = read_algorithm(outputs);
            FAIL() << "accepted:\n" << graph;
        } catch (const UserError &e) {
            for (const std::string &part : parts) {
                EXPECT_NE(std::string(e.what()).find(part), std::string::npos)
                    << "expected \"" << part << "\" in: " << e.what();
            }
        }
    }
};

TEST_F(BadAlgorithm, NoOutputs) {
    expect_refused({}, {"at least one output"});
}

TEST_F(BadAlgorithm, UndefinedOutput) {
    expect_refused({f}, {"culprit", "no definition"});
}

TEST_F(BadAlgorithm, ExternStage) {
    f.define_extern("somewhere", {}, Halide::Float(32), {x});
    out(x) = f(x) + 1;
    expect_refused({out}, {"culprit", "extern stage", "pass it as an input"});
}

TEST_F(BadAlgorithm, TwoUpdates) {
    f(x) = 0.0f;
    f(x) += in(x, r);
    f(x) *= 2.0f;
    out(x) = f(x);
    expect_refused({out}, {"culprit", "2 update definitions", "one Func for each"});
}

TEST_F(BadAlgorithm, UpdateThatIsNoReduction) {
    f(x) = 0.0f;
    f(x) = f(x) * 0.5f + in(x, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction", "+, *, max, min"});
}

TEST_F(BadAlgorithm, UpdateThatForgetsItself) {
    f(x) = 0.0f;
    f(x) = in(x, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, BodyThatUsesTheFunc) {
    f(x) = 0.0f;
    f(x) = f(x) + in(x, r) * f(x);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, ConditionThatUsesTheFunc) {
    f(x) = 0.0f;
    f(x) = Halide::select(f(x) < 3.0f, f(x) + in(x, r), f(x));
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, ArgMaxFromAThreshold) {
    f(x) = Tuple(-1e30f, 0);
    Expr larger = in(x, r) > f(x)[0];
    f(x) = Tuple(Halide::max(f(x)[0], in(x, r)), Halide::select(larger, Expr(r), f(x)[1]));
    out(x) = f(x)[1];
    expect_refused({out},
                   {"culprit", "element 0 of its Tuple", "starts from -1", "must start from", "mask on the key"});
}

TEST_F(BadAlgorithm, LastArgMax) {
    f(x) = Tuple(Expr(-INFINITY), 0);
    Expr larger = in(x, r) >= f(x)[0];
    f(x) = Tuple(Halide::max(f(x)[0], in(x, r)), Halide::select(larger, Expr(r), f(x)[1]));
    out(x) = f(x)[1];
    expect_refused({out}, {"culprit", "is not a reduction", "argmax", "of equal keys the first is kept"});
}

TEST_F(BadAlgorithm, ArgMaxByTwoKeys) {
    f(x) = Tuple(Expr(-INFINITY), Expr(-INFINITY), 0);
    Expr larger = in(x, r) > f(x)[0] || (in(x, r) == f(x)[0] && in(r, x) > f(x)[1]);
    f(x) = Tuple(Halide::select(larger, in(x, r), f(x)[0]), Halide::select(larger, in(r, x), f(x)[1]),
                 Halide::select(larger, Expr(r), f(x)[2]));
    out(x) = f(x)[2];
    expect_refused({out}, {"culprit", "is not a reduction", "comparisons with one key"});
}

TEST_F(BadAlgorithm, TopTwoThatLosesOne) {
    // The old best is dropped, not moved down.
    f(x) = Tuple(Expr(-INFINITY), Expr(-INFINITY), 0, 0);
    Expr first = in(x, r) > f(x)[0], second = in(x, r) > f(x)[1];
    f(x) = Tuple(Halide::select(first, in(x, r), f(x)[0]), Halide::select(second, in(x, r), f(x)[1]),
                 Halide::select(first, Expr(r), f(x)[2]), Halide::select(second, Expr(r), f(x)[3]));
    out(x) = f(x)[2] + f(x)[3];
    const ReductionGraph graph = read_algorithm({out});  // two times the best, as it says
    ASSERT_EQ(graph.reductions.size(), 1u) << graph;
    EXPECT_EQ(graph.reductions[0].rank, 0) << graph;
}

TEST_F(BadAlgorithm, ScanAlongItself) {
    f(x, y) = 0.0f;
    f(x, r) = f(x, r - 1) + in(x, r);
    out(x) = f(x, 15);
    expect_refused({out}, {"culprit", "dimension 1", "scatters"});
}

TEST_F(BadAlgorithm, Histogram) {
    f(x) = 0;
    f(Halide::clamp(Halide::cast<int>(in(r, 0)), 0, 9)) += 1;
    out(x) = f(x);
    expect_refused({out}, {"culprit", "scatters"});
}

TEST_F(BadAlgorithm, UpdateAtAConstant) {
    f(x, y) = 0.0f;
    f(x, 3) += in(x, r);
    out(x, y) = f(x, y);
    expect_refused({out}, {"culprit", "writes at 3", "dimension 1"});
}

TEST_F(BadAlgorithm, UpdateWithoutADomain) {
    f(x) = 0.0f;
    f(x) += in(x, 0);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "walks no RDom"});
}

TEST_F(BadAlgorithm, UndefinedStart) {
    f(x) = Halide::undef<float>();
    f(x) += in(x, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "undef"});
}

TEST_F(BadAlgorithm, TopTwoInTheWrongOrder) {
    f(x) = Tuple(Expr(-INFINITY), Expr(-INFINITY));
    Expr best = Halide::max(f(x)[0], in(x, r)), second = Halide::max(f(x)[1], Halide::max(f(x)[0], in(x, r)));
    f(x) = Tuple(best, second);
    out(x) = f(x)[1];
    expect_refused({out}, {"culprit", "is not a reduction", "sorted list of the greatest keys"});
}

TEST_F(BadAlgorithm, WeightedRunningMean) {
    f(x) = 0.0f;
    f(x) = 0.9f * f(x) + 0.1f * in(x, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction", "one of +, *, max, min"});
}

TEST_F(BadAlgorithm, AlternatingOperators) {
    f(x) = 0.0f;
    f(x) = Halide::max(f(x) + in(x, r), 0.0f);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, QuotientOfItself) {
    f(x) = 1.0f;
    f(x) = f(x) / in(x, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, SubtractedFromTheBody) {
    f(x) = 0.0f;
    f(x) = in(x, r) - f(x);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, UpdateOfTheReducedPlace) {
    f(x) = 0.0f;
    f(r) = f(r) + in(r, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "scatters"});
}

TEST_F(BadAlgorithm, LastMatch) {
    f(x) = 0.0f;
    f(x) = Halide::select(in(x, r) > 0, in(x, r), f(x));
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction", "comparisons with one key"});
}

TEST_F(BadAlgorithm, ClampedRunningMaximum) {
    f(x) = 0.0f;
    f(x) = Halide::min(Halide::max(f(x), in(x, r)), 5.0f);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction", "min(max("});
}

TEST_F(BadAlgorithm, Remainder) {
    f(x) = 1;
    f(x) = f(x) % (Halide::cast<int>(in(x, r)) + 2);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction", "%"});
}

TEST_F(BadAlgorithm, Squaring) {
    f(x) = 2.0f;
    f(x) = f(x) * f(x) + 0.0f * in(x, r);
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction"});
}

TEST_F(BadAlgorithm, IndexThatUsesTheFunc) {
    f(x) = 0;
    f(x) += Halide::cast<int>(in(Halide::clamp(f(x), 0, 9), r));
    out(x) = f(x);
    expect_refused({out}, {"culprit", "is not a reduction", "a body that does not use culprit"});
}

}  // namespace
