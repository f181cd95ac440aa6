// The plans of the seven variants, as text, in both writings.
#include "Algorithms.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "derivation/PrecisionNotes.h"
#include "tile/Golden.h"

#include <gtest/gtest.h>
#include <regex>

using namespace strobe;
using namespace strobe::test;

namespace {

std::string printed(const Plan &plan) {
    std::ostringstream text;
    text << plan;
    return std::regex_replace(text.str(), std::regex("\\$[0-9]+"), "");
}

Plan plan_of(const std::vector<Func> &outputs) {
    return derive_online(read_algorithm(outputs));
}

class Plans : public testing::TestWithParam<Variant> {};

TEST_P(Plans, OfBlocks) {
    Inputs in(Halide::BFloat(16));
    expect_golden(std::string("plan_") + GetParam().name + ".txt", printed(plan_of(from_blocks(in, GetParam().score))));
}

/** What is computed does not depend on the writing: moments, pivots and outputs. */
std::string essence(const Plan &plan) {
    std::ostringstream text;
    Plan without_facts = plan;
    without_facts.facts.clear();
    for (Output &o : without_facts.outputs) {
        o.name = "";
    }
    text << without_facts;
    return text.str();
}

TEST_P(Plans, OfBareFuncs) {
    Inputs in(Halide::BFloat(16));
    const Plan blocks = plan_of(from_blocks(in, GetParam().score)), own = plan_of(bare(in, GetParam().score));
    ASSERT_EQ(own.passes.size(), 1u) << own;
    ASSERT_EQ(own.passes[0].pivots.size(), 1u) << own;
    ASSERT_EQ(own.passes[0].moments.size(), 2u) << own;
    EXPECT_EQ(own.roles.stream, blocks.roles.stream);
    EXPECT_EQ(own.roles.query, blocks.roles.query);
    EXPECT_EQ(own.roles.batch, blocks.roles.batch);
    EXPECT_EQ(own.roles.features, blocks.roles.features);
    // The names of the score and of the feature axis, and the order of moments, are the user's.
    std::string expected = essence(blocks), got = essence(own);
    const auto canonical = [](std::string text) {
        text = std::regex_replace(text, std::regex("%(scores|dot)"), "%score");
        return std::regex_replace(text, std::regex("[(]d_1[)]|[(]r[)]"), "(inner)");
    };
    const auto line_with = [](const std::string &text, const std::string &start) {
        std::istringstream lines(text);
        std::string found;
        for (std::string line; std::getline(lines, line);) {
            if (line.find(start) == 0) {
                found += line + "\n";
            }
        }
        return found;
    };
    expected = canonical(expected);
    got = canonical(got);
    for (const char *start : {"  pivot", "  mask", "    dead", "    full", "    from", "    to", "    without"}) {
        EXPECT_EQ(line_with(expected, start), line_with(got, start)) << expected << got;
    }
    std::string swapped = std::regex_replace(got, std::regex("%m0"), "%x");
    swapped = std::regex_replace(swapped, std::regex("%m1"), "%m0");
    swapped = std::regex_replace(swapped, std::regex("%x"), "%m1");
    const std::string outputs = line_with(expected, "output");
    EXPECT_TRUE(outputs == line_with(got, "output") || outputs == line_with(swapped, "output")) << expected << got;
}

TEST_P(Plans, WithoutTheUsersMaximum) {
    Inputs in(Halide::BFloat(16));
    const Plan plan = plan_of(from_blocks(in, GetParam().score));
    for (const Pass &pass : plan.passes) {
        for (const Moment &m : pass.moments) {
            EXPECT_EQ(m.op, ReduceOp::Sum) << plan;
        }
        EXPECT_TRUE(pass.readouts.empty()) << plan;
    }
    const auto dropped = [&](const Fact &f) { return f.subject == "row_max" && f.rule == "dropped"; };
    EXPECT_TRUE(std::any_of(plan.facts.begin(), plan.facts.end(), dropped)) << plan;
}

INSTANTIATE_TEST_SUITE_P(Variants, Plans, testing::ValuesIn(variants()),
                         [](const auto &info) { return std::string(info.param.name); });

TEST(PivotPolicy, ConstantWithinTheDeclaredRange) {
    Inputs in;
    const Plan plan = plan_of(from_blocks(in, [](Inputs &i, Expr s) { return softcap(s, i.cap); }));
    EXPECT_EQ(plan.passes[0].pivots[0].policy, Pivot::Policy::Constant) << plan;
    EXPECT_NE(plan.passes[0].pivots[0].reason.find("[-40, 40]"), std::string::npos) << plan;
}

TEST(PivotPolicy, RunningMaximumOutsideIt) {
    Inputs in;
    Param<float> wide("wide", 30.0f, 1e-3f, 50.0f), unknown("unknown");
    for (const Param<float> &cap : {wide, unknown}) {
        const Plan plan = plan_of(from_blocks(in, [&](Inputs &, Expr s) { return softcap(s, cap); }));
        EXPECT_EQ(plan.passes[0].pivots[0].policy, Pivot::Policy::RunningMax) << plan;
    }
    Inputs half(Halide::Float(16));
    const Plan plan = plan_of(from_blocks(half, [](Inputs &i, Expr s) { return softcap(s, i.cap); }));
    EXPECT_EQ(plan.passes[0].pivots[0].policy, Pivot::Policy::RunningMax)
        << "half precision holds less than 80 powers of e\n"
        << plan;
}

TEST(PivotPolicy, ConstantForConstants) {
    Inputs in;
    const Plan plan = plan_of(from_blocks(in, [](Inputs &, Expr s) { return 5.0f * Halide::tanh(s); }));
    ASSERT_EQ(plan.passes[0].pivots[0].policy, Pivot::Policy::Constant) << plan;
    EXPECT_TRUE(Halide::Internal::is_const_zero(plan.passes[0].pivots[0].constant)) << plan << "exp is in range";
    Inputs far;
    const Plan other = plan_of(from_blocks(far, [](Inputs &, Expr s) { return 30.0f + 20.0f * Halide::tanh(s); }));
    ASSERT_EQ(other.passes[0].pivots[0].policy, Pivot::Policy::Constant) << other;
    EXPECT_TRUE(Halide::Internal::is_const(other.passes[0].pivots[0].constant, 50)) << other;
}

/** A sum over later keys, of this type, in the exponent of the weights. */
ReductionGraph suffix_sums(Type t) {
    Inputs in;
    RDom later(0, in.v.dim(1).extent()), all(0, in.v.dim(1).extent());
    Func s("s"), rest("rest"), w("w"), out("out");
    s(in.j, in.i, in.h, in.b) = -abs(scores(in.q, in.k)(in.j, in.i, in.h, in.b));
    rest(in.j, in.i, in.h, in.b) += Halide::select(later > in.j, Halide::cast(t, s(later, in.i, in.h, in.b)), 0);
    w(in.j, in.i, in.h, in.b) = Halide::exp(s(in.j, in.i, in.h, in.b) + Halide::cast<float>(rest(in.j, in.i, in.h, in.b)));
    out(in.d, in.i, in.h, in.b) += w(all, in.i, in.h, in.b) * in.v(in.d, all, in.h / 2, in.b);
    return read_algorithm({out});
}

TEST(Precision, OfAFloatSumOfLaterElementsIsNoted) {
    const ReductionGraph graph = suffix_sums(Halide::Float(32));
    const std::vector<std::string> notes = precision_notes(graph, derive_online(graph));
    ASSERT_EQ(notes.size(), 1u) << graph;
    for (const char *part : {"rest, a sum of later elements along j", "in float32", "give rest the type double"}) {
        EXPECT_NE(notes[0].find(part), std::string::npos) << notes[0];
    }
}

TEST(Precision, OfADoubleIsEnough) {
    const ReductionGraph graph = suffix_sums(Halide::Float(64));
    const std::vector<std::string> notes = precision_notes(graph, derive_online(graph));
    EXPECT_TRUE(notes.empty()) << notes[0] << "\n" << graph;
}

}  // namespace
