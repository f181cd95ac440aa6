#include "HandMade.h"

#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;

namespace {

const Sizes ragged_sizes[] = {
    // queries, keys, heads, batches, group, features, values
    {1, 1, 1, 1, 1, 4, 3},   {8, 8, 1, 1, 1, 4, 3},   {9, 7, 2, 1, 2, 4, 3}, {16, 24, 2, 2, 1, 4, 3},
    {23, 41, 1, 1, 1, 5, 7}, {41, 23, 4, 1, 4, 3, 1}, {5, 0, 1, 1, 1, 4, 3}, {0, 5, 1, 1, 1, 4, 3},
};

std::string name_of(const Sizes &s) {
    std::ostringstream text;
    text << "Sq=" << s.queries << " Sk=" << s.keys << " H=" << s.heads << " B=" << s.batches << " group=" << s.group
         << " D=" << s.features << " C=" << s.values;
    return text.str();
}

bool same_bytes(const Halide::Buffer<> &a, const Halide::Buffer<> &b) {
    return std::memcmp(a.data(), b.data(), a.size_in_bytes()) == 0;
}

/** Runs a program exactly, checks it against the direct evaluation, and that its verdicts change nothing. */
void check_exactly(const TileProgram &program, TileArguments arguments, const Sizes &sizes, const Score &score,
                   const Live &live) {
    SCOPED_TRACE(name_of(sizes));
    verify_tiles(program);
    interpret_tiles(program, arguments, {Arithmetic::Exact, false});
    const Errors errors = compare_with_direct(arguments, sizes, score, live);
    EXPECT_LE(errors.out, 1e-12) << errors.first << "\n" << program;
    EXPECT_LE(errors.lse, 1e-12) << errors.first << "\n" << program;

    TileArguments unskipped = arguments;
    for (const char *name : {"out", "lse"}) {
        unskipped.buffers[name] = arguments.buffers.at(name).copy();
    }
    interpret_tiles(program, unskipped, {Arithmetic::Exact, true});
    EXPECT_TRUE(same_bytes(arguments.buffers.at("out"), unskipped.buffers.at("out"))) << "verdicts change the result";
    EXPECT_TRUE(same_bytes(arguments.buffers.at("lse"), unskipped.buffers.at("lse"))) << "verdicts change the result";
}

TEST(Interpret, Full) {
    for (const Sizes &s : ragged_sizes) {
        HandMade a(Halide::Float(32), s, 8, 8);
        a.softmax(a.scores() * a.scale);
        check_exactly(
            a.build(), random_arguments(a.type, s, true, 1), s, [](double x, int, int, int, int) { return x * 0.7f; },
            [](int, int, int) { return true; });
    }
}

TEST(Interpret, Causal) {
    for (const Sizes &s : ragged_sizes) {
        HandMade a(Halide::Float(32), s, 8, 16);
        a.softmax(a.scores() * a.scale, a.causal());
        check_exactly(
            a.build(), random_arguments(a.type, s, true, 2), s, [](double x, int, int, int, int) { return x * 0.7f; },
            [](int i, int j, int) { return j <= i; });
    }
}

TEST(Interpret, LargeScoresAndLazyRescaling) {
    for (int bits : {0, 8}) {
        for (const Sizes &s : ragged_sizes) {
            HandMade a(Halide::Float(32), s, 16, 8);
            a.choices.rescale_bits = bits;
            a.softmax(a.scores() * 300.0f + Halide::cast<float>(a.j), a.causal());
            check_exactly(
                a.build(), random_arguments(a.type, s, true, 3), s,
                [](double x, int, int j, int, int) { return x * 300 + j; }, [](int i, int j, int) { return j <= i; });
        }
    }
}

TEST(Interpret, DataDependentMask) {
    for (const Sizes &s : ragged_sizes) {
        HandMade a(Halide::Float(32), s, 8, 8);
        ImageParam document(Halide::Int(32), 2, "document");
        a.softmax(a.scores(), a.same_document(document));
        TileArguments arguments = random_arguments(a.type, s, true, 4);
        Halide::Buffer<int32_t> ids(std::max(s.queries, s.keys), s.batches);
        ids.for_each_element([&](int x, int b) { ids(x, b) = x / (5 + b); });
        arguments.buffers["document"] = ids;
        check_exactly(
            a.build(), arguments, s, [](double x, int, int, int, int) { return x; },
            [&](int i, int j, int b) { return ids(i, b) == ids(j, b); });
    }
}

TEST(Interpret, MaskedKeysOnlyRowsAreZero) {
    const Sizes s{20, 20, 1, 1, 1, 4, 3};
    HandMade a(Halide::Float(32), s, 8, 8);
    MaskVerdict mask;
    mask.guard = a.j < a.i - 10;  // rows 0 to 10 see nothing
    a.softmax(a.scores(), mask);
    TileArguments arguments = random_arguments(a.type, s, false, 5);
    interpret_tiles(a.build(), arguments);
    for (int i = 0; i <= 10; i++) {
        EXPECT_EQ(element(arguments.buffers["out"], {0, i, 0, 0}), 0) << "row " << i;
        EXPECT_EQ(element(arguments.buffers["lse"], {i, 0, 0}), -INFINITY) << "row " << i;
    }
    EXPECT_NE(element(arguments.buffers["out"], {0, 11, 0, 0}), 0);
}

TEST(Interpret, ConstantPivotNeedsNoMaximum) {
    for (const Sizes &s : ragged_sizes) {
        HandMade a(Halide::Float(32), s, 8, 8);
        a.softmax(a.scores(), a.causal());
        a.plan.passes[0].pivots[0].policy = Pivot::Policy::Constant;
        a.plan.passes[0].pivots[0].constant = 2.5f;
        const TileProgram program = a.build();
        for (const TileOp &op : program.passes[0].step) {
            EXPECT_FALSE(op.kind == TileOp::Kind::Reduce && op.op == ReduceOp::Max) << op_text(op);
        }
        check_exactly(
            program, random_arguments(a.type, s, true, 6), s, [](double x, int, int, int, int) { return x; },
            [](int i, int j, int) { return j <= i; });
    }
}

/** Sigmoid attention: no exponential is carried, so nothing is rescaled; its mask zeroes the weights. */
TEST(Interpret, MomentsWithoutPivot) {
    for (const Sizes &s : ragged_sizes) {
        HandMade a(Halide::Float(32), s, 8, 8);
        const MaskVerdict mask = a.causal();
        const Expr sigmoid = 1.0f / (1.0f + Halide::exp(-a.scores()));
        Pass pass;
        pass.mask = mask;
        pass.moments.push_back({"%m0", ReduceOp::Sum, Halide::Float(32), -1, mask.guard, sigmoid, {"i", "h", "b"}});
        pass.moments.push_back(
            {"%m1", ReduceOp::Sum, Halide::Float(32), -1, mask.guard, a.value_load() * sigmoid, {"c", "i", "h", "b"}});
        pass.moments.push_back({"%m2", ReduceOp::Max, Halide::Float(32), -1, mask.guard, a.scores(), {"i", "h", "b"}});
        a.plan.passes = {pass};
        const Expr m0 = value_variable("%m0"), m1 = value_variable("%m1"), m2 = value_variable("%m2");
        a.output("out", Halide::Float(32), {"c", "i", "h", "b"}, m1 + m0);
        a.output("lse", Halide::Float(32), {"i", "h", "b"}, m2);
        const TileProgram program = a.build();
        verify_tiles(program);
        TileArguments arguments = random_arguments(a.type, s, true, 7);
        interpret_tiles(program, arguments, {Arithmetic::Exact, false});
        for (int i = 0; i < s.queries; i++) {
            double sum = 0, weighted = 0, top = -INFINITY;
            for (int j = 0; j <= std::min(i, s.keys - 1); j++) {
                double dot = 0;
                for (int d = 0; d < s.features; d++) {
                    dot +=
                        element(arguments.buffers["q"], {d, i, 0, 0}) * element(arguments.buffers["k"], {d, j, 0, 0});
                }
                const double w = 1 / (1 + std::exp(-dot));
                sum += w;
                weighted += w * element(arguments.buffers["v"], {0, j, 0, 0});
                top = std::max(top, dot);
            }
            EXPECT_NEAR(element(arguments.buffers["out"], {0, i, 0, 0}), weighted + sum, 1e-12) << program;
            if (top == -INFINITY) {
                EXPECT_EQ(element(arguments.buffers["lse"], {i, 0, 0}), top);
            } else {
                EXPECT_NEAR(element(arguments.buffers["lse"], {i, 0, 0}), top, 1e-12) << program;
            }
        }
    }
}

/** Two passes: the second uses the first's readout (here: the row's log-sum-exp as a threshold). */
TEST(Interpret, ReadoutsOfAnEarlierPass) {
    const Sizes s{19, 21, 1, 1, 1, 4, 3};
    HandMade a(Halide::Float(32), s, 8, 8);
    Pass first, second;
    first.pivots.push_back({"%p0", a.scores(), Expr(), Pivot::Policy::RunningMax, Expr(), ""});
    first.moments.push_back({"%m0", ReduceOp::Sum, Halide::Float(32), 0, Expr(), Expr(), {"i", "h", "b"}});
    const Expr total = value_variable("%total");
    first.readouts.push_back({"%total", {"i", "h", "b"}, value_variable("%p0") + Halide::log(value_variable("%m0"))});
    second.moments.push_back({"%m1",
                              ReduceOp::Sum,
                              Halide::Float(32),
                              -1,
                              Expr(),
                              Halide::max(a.scores() - total, -3.0f) * a.value_load(),
                              {"c", "i", "h", "b"}});
    a.plan.passes = {first, second};
    a.output("out", Halide::Float(32), {"c", "i", "h", "b"}, value_variable("%m1"));
    a.output("lse", Halide::Float(32), {"i", "h", "b"}, total);
    const TileProgram program = a.build();
    verify_tiles(program);
    TileArguments arguments = random_arguments(a.type, s, true, 8);
    interpret_tiles(program, arguments, {Arithmetic::Exact, false});
    for (int i = 0; i < s.queries; i++) {
        std::vector<double> dot(s.keys);
        double sum = 0, out = 0;
        for (int j = 0; j < s.keys; j++) {
            for (int d = 0; d < s.features; d++) {
                dot[j] += element(arguments.buffers["q"], {d, i, 0, 0}) * element(arguments.buffers["k"], {d, j, 0, 0});
            }
            sum += std::exp(dot[j]);
        }
        for (int j = 0; j < s.keys; j++) {
            out += std::max(dot[j] - std::log(sum), -3.0) * element(arguments.buffers["v"], {1, j, 0, 0});
        }
        EXPECT_NEAR(element(arguments.buffers["out"], {1, i, 0, 0}), out, 1e-12) << program;
    }
}

/** Two softmaxes of one pass under different masks: one gives out, the other lse. */
TEST(Interpret, GuardsOfTheirOwn) {
    for (const Sizes &s : ragged_sizes) {
        HandMade a(Halide::Float(32), s, 8, 8);
        a.softmax(a.scores(), a.causal());
        Pass &pass = a.plan.passes[0];
        pass.mask = MaskVerdict();  // the second softmax sees everything
        pass.pivots.push_back({"%p1", a.scores() * 2.0f, Expr(), Pivot::Policy::RunningMax, Expr(), ""});
        pass.moments.push_back({"%m2", ReduceOp::Sum, Halide::Float(32), 1, Expr(), Expr(), {"i", "h", "b"}});
        a.plan.outputs[1].value = value_variable("%p1") + Halide::log(value_variable("%m2"));
        const TileProgram program = a.build();
        verify_tiles(program);
        const TileArguments arguments = random_arguments(a.type, s, true, 15);
        interpret_tiles(program, arguments, {Arithmetic::Exact, false});
        const auto causal = compare_with_direct(
            arguments, s, [](double x, int, int, int, int) { return x; }, [](int i, int j, int) { return j <= i; });
        const auto full = compare_with_direct(
            arguments, s, [](double x, int, int, int, int) { return 2 * x; }, [](int, int, int) { return true; });
        EXPECT_LE(causal.out, 1e-12) << program;
        EXPECT_LE(full.lse, 1e-12) << program;
    }
}

/** A factor that is infinite where its moment does not count must not reach the sum. */
TEST(Interpret, MaskedFactorsAreNotMultiplied) {
    const Sizes s{21, 19, 1, 1, 1, 4, 3};
    HandMade a(Halide::Float(32), s, 8, 8);
    const MaskVerdict mask = a.causal();
    a.softmax(a.scores(), mask);
    Pass &pass = a.plan.passes[0];
    const Expr factor = 1.0f / Halide::cast<float>(Halide::max(a.i - a.j + 1, 0));  // inf above the diagonal
    pass.moments.push_back({"%m2", ReduceOp::Sum, Halide::Float(32), 0, mask.guard, factor, {"i", "h", "b"}});
    const Expr narrow = a.j <= a.i - 3;
    const Expr narrow_factor = 1.0f / Halide::cast<float>(Halide::max(a.i - a.j - 2, 0));
    pass.moments.push_back({"%m3", ReduceOp::Sum, Halide::Float(32), 0, narrow, narrow_factor, {"i", "h", "b"}});
    a.plan.outputs[1].value = (value_variable("%m2") + value_variable("%m3")) * Halide::exp(value_variable("%p0"));
    const TileProgram program = a.build();
    verify_tiles(program);
    TileArguments arguments = random_arguments(a.type, s, true, 16);
    interpret_tiles(program, arguments, {Arithmetic::Exact, false});
    for (int i = 0; i < s.queries; i++) {
        double expected = 0;
        for (int j = 0; j <= std::min(i, s.keys - 1); j++) {
            double dot = 0;
            for (int d = 0; d < s.features; d++) {
                dot += element(arguments.buffers["q"], {d, i, 0, 0}) * element(arguments.buffers["k"], {d, j, 0, 0});
            }
            expected += std::exp(dot) * (1.0 / (i - j + 1) + (j <= i - 3 ? 1.0 / (i - j - 2) : 0));
        }
        EXPECT_NEAR(element(arguments.buffers["lse"], {i, 0, 0}), expected, 1e-11 * expected) << "row " << i << "\n"
                                                                                              << program;
    }
}

TEST(Interpret, DeclaredRoundings) {
    const Sizes s{33, 65, 2, 1, 1, 16, 16};
    for (Type t : {Halide::BFloat(16), Halide::Float(16), Halide::Float(32)}) {
        HandMade a(t, s, 16, 16);
        a.softmax(a.scores() * a.scale, a.causal());
        const TileProgram program = a.build();
        verify_tiles(program);
        TileArguments arguments = random_arguments(t, s, false, 9);
        interpret_tiles(program, arguments);
        const Errors errors = compare_with_direct(
            arguments, s, [](double x, int, int, int, int) { return x * 0.7f; },
            [](int i, int j, int) { return j <= i; });
        const double unit = t.is_bfloat() ? 1.0 / 256 : t.bits() == 16 ? 1.0 / 2048 : 1.0 / (1 << 24);
        EXPECT_LE(errors.out, 2 * unit) << errors.first;
        EXPECT_GE(errors.out, unit / 64) << "nothing seems to be rounded";
        EXPECT_LE(errors.lse, 1e-5) << errors.first;
    }
}

TEST(Interpret, TileMapOfCausal) {
    const Sizes s{40, 40, 1, 1, 1, 4, 3};
    HandMade a(Halide::Float(32), s, 8, 16);
    a.softmax(a.scores(), a.causal());
    const TileMap map = tile_map(a.build(), 0, random_arguments(a.type, s, false, 10));
    std::string picture;
    for (const auto &row : map.rows) {
        for (TileVerdict v : row) {
            picture += v == TileVerdict::Dead ? '.' : v == TileVerdict::Full ? '#' : '/';
        }
        picture += '\n';
    }
    EXPECT_EQ(picture, "/..\n/..\n#/.\n#/.\n##/\n");
    EXPECT_EQ(map.count(TileVerdict::Dead) + map.count(TileVerdict::Partial) + map.count(TileVerdict::Full), 15);
}

}  // namespace
