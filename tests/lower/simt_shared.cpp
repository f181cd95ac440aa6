// Blocks with several points of a grid axis, run serially on the CPU against the interpreter, in both orders of
// threads.

#include "CpuHarness.h"
#include "lower/simt/LowerSimt.h"
#include "support/Error.h"
#include "tile/SharePoints.h"

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

const Shape ragged[] = {{1, 1, 1, 1, 1}, {5, 3, 2, 1, 1}, {35, 37, 4, 2, 1}, {6, 40, 17, 17, 2}};

struct Sizes {
    int query = 16, stream = 16, points = 16, parts = 1;
    int features = 16, values = 24;
};

int products_of(const TileProgram &program) {
    int found = 0;
    for (const StreamPass &pass : program.passes) {
        for (const TileOp &op : pass.step) {
            found += has_matrix_for_each_row(program, op);
        }
    }
    return found;
}

/** Compares a block's code with what the interpreter makes of the shared program, and of the given one. */
void check(const Define &define, Type type, const Sizes &sizes, int products, int margin = 4) {
    for (bool descending : {false, true}) {
        std::ostringstream where;
        where << type << ", " << sizes.points << " points, tiles of " << sizes.query << " x " << sizes.stream << ", "
              << sizes.parts << " parts, " << sizes.values << " values, " << (descending ? "last" : "first")
              << " thread first";
        SCOPED_TRACE(where.str());
        TileProgram shared;
        const Lower lower = [&](const TileProgram &program, const Choices &, const Target &) {
            shared = share_points(program, products > 0 ? axis_to_share(program) : program.grid[0].name, sizes.points);
            verify_tiles(shared);
            return lower_simt_serially(shared, descending);
        };
        CpuProgram program(define, type, sizes.features, sizes.values, sizes.query, sizes.stream, lower, sizes.parts);
        EXPECT_EQ(products_of(shared), products);
        program.program = shared;
        for (const Shape &shape : ragged) {
            program.check(shape, {0, 1, 2, 3}, margin);
            margin = 5 - margin;  // rows at multiples of 16 bytes, or not
        }
    }
}

/** Attention whose weights also sum up what belongs to each pair of a query and a key. */
std::vector<Func> pair_features(Inputs &in, const Expr &score, const Expr &feature) {
    RDom all(0, in.keys(), "j");
    Func pairs("pairs"), out_pairs("out_pairs"), out("out"), lse("lse");
    const Softmax p = softmax(score, in.keys());
    pairs(in.d, in.i, in.h, in.b) += p.weights(all, in.i, in.h, in.b) * substitute("j", all, feature);
    out(in.d, in.i, in.h, in.b) =
        cast(in.type, weighted_sum(p.weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b));
    lse(in.i, in.h, in.b) = p.lse(in.i, in.h, in.b);
    out_pairs(in.d, in.i, in.h, in.b) = pairs(in.d, in.i, in.h, in.b);
    return {out, lse, out_pairs};
}

/** What queries are compared with and keys sum up belongs to heads, so a block's rows are queries and it shares heads.
 */
std::vector<Func> with_pairs(Inputs &in) {
    const Expr key = cast<float>(in.k(0, in.j, in.h / (in.q.dim(2).extent() / in.k.dim(2).extent()), in.b));
    return pair_features(in, in.score() + in.bias(in.j, in.i) * key, cast<float>(in.pair(in.d, in.j, in.i, in.b)));
}

/** Pairs have a bias, too: heads are as good as rows, values are what each of them has for itself, and queries share a
 * block. */
std::vector<Func> with_biased_pairs(Inputs &in) {
    return pair_features(in, in.score() + in.bias(in.j, in.i), cast<float>(in.pair(in.d, in.j, in.i, in.b)));
}

TEST(SimtShared, heads_are_the_rows_of_products) {
    for (const Type &type : {Float(32), BFloat(16), Float(16)}) {
        check(with_pairs, type, {}, 1);
    }
}

TEST(SimtShared, queries_are_the_rows_of_products) {
    check(with_biased_pairs, BFloat(16), {16, 16, 5}, 1);
}

TEST(SimtShared, other_numbers_of_points_and_sizes_of_tiles) {
    check(with_pairs, Float(32), {16, 16, 3}, 1);
    check(with_pairs, BFloat(16), {16, 32, 8}, 1, 5);
    check(with_pairs, BFloat(16), {8, 16, 20}, 1);
    check(with_pairs, BFloat(16), {24, 24, 5, 1, 5, 3}, 1);
    check(with_pairs, BFloat(16), {16, 16, 16, 1, 8, 40}, 1);
}

TEST(SimtShared, parts_are_merged) {
    check(with_pairs, Float(32), {16, 16, 4, 2}, 1);
    check(with_pairs, BFloat(16), {16, 16, 16, 3}, 1);
}

/** Masks of rows and keys leave out pairs inside the tile. */
TEST(SimtShared, masked_pairs) {
    const auto causal = [](Inputs &in) {
        return pair_features(in, where(strobe::causal(in.i, in.j), in.score()),
                             cast<float>(in.pair(in.d, in.j, in.i, in.b)));
    };
    check(causal, BFloat(16), {}, 1);
    const auto window = [](Inputs &in) {
        return pair_features(in, where(strobe::sliding_window(in.i, in.j, 7), in.score()),
                             cast<float>(in.pair(in.d, in.j, in.i, in.b)));
    };
    check(window, BFloat(16), {}, 1);
}

TEST(SimtShared, elements_at_computed_places_and_further_factors) {
    const auto moved = [](Inputs &in) {
        return pair_features(in, in.score(),
                             in.bias(in.j, in.i) * cast<float>(in.pair(in.d, (in.j + in.i) % in.keys(), in.i, in.b)));
    };
    check(moved, BFloat(16), {}, 1);
}

/** Distances of points whose coordinates are a row of the input each: their tiles lie and are loaded together, if the
 * points have all of the row's first elements; strides and places of rows that bulk copies need are left to chance. */
TEST(SimtShared, tiles_that_are_parts_of_rows) {
    const auto distances = [](Inputs &in, int first, int count) {
        const Expr head = in.h / (in.q.dim(2).extent() / in.k.dim(2).extent());
        Expr distance = 0.0f;
        for (int c = first; c < first + count; c++) {
            const Expr apart = in.q(c, in.i, in.h, in.b) - in.k(c, in.j, head, in.b);
            distance += apart * apart;
        }
        return pair_features(in, in.score() - distance, in.pair(in.d, in.j, in.i, in.b));
    };
    check([&](Inputs &in) { return distances(in, 0, 6); }, Float(32), {16, 16, 5, 1, 16, 8}, 1);
    check([&](Inputs &in) { return distances(in, 0, 4); }, Float(32), {16, 16, 5, 1, 16, 8}, 1);
    check([&](Inputs &in) { return distances(in, 1, 5); }, Float(32), {16, 16, 5, 1, 16, 8}, 1);
}

/** Weights without a running maximum, and a gate on what they sum up. */
TEST(SimtShared, sums_without_a_softmax) {
    const auto sigmoid = [](Inputs &in) {
        RDom all(0, in.keys(), "j");
        Func weights("weights"), pairs("pairs"), out("out");
        weights(in.j, in.i, in.h, in.b) = 1.0f / (1.0f + exp(-in.score()));
        pairs(in.d, in.i, in.h, in.b) += weights(all, in.i, in.h, in.b) * cast<float>(in.pair(in.d, all, in.i, in.b));
        out(in.d, in.i, in.h, in.b) = tanh(pairs(in.d, in.i, in.h, in.b) / cast<float>(in.keys()));
        return std::vector<Func>{out};
    };
    check(sigmoid, BFloat(16), {}, 1);
    check(sigmoid, Float(32), {16, 16, 6}, 1);
}

/** The root of the mean square of what a head sums up: it needs all features of a row, so no matrix of heads holds
 * them. */
TEST(SimtShared, what_cannot_lie_across_heads) {
    const auto normed = [](Inputs &in) {
        std::vector<Func> outputs = with_pairs(in);
        RDom all(0, in.value_dim, "features");
        Func square("square"), out("normed");
        square(in.i, in.h, in.b) += pow(outputs[2](all, in.i, in.h, in.b), 2);
        out(in.d, in.i, in.h, in.b) = outputs[2](in.d, in.i, in.h, in.b) / sqrt(square(in.i, in.h, in.b) + 1.0f);
        return std::vector<Func>{out};
    };
    check(normed, Float(32), {16, 16, 3}, 0);
}

TEST(SimtShared, heads_cannot_share_a_mask_of_their_own) {
    const Lower lower = [](const TileProgram &program, const Choices &, const Target &) {
        EXPECT_THROW(share_points(program, program.grid[0].name, 2), UserError);
        EXPECT_EQ(axis_to_share(program), "");
        return lower_simt_serially(program, false);
    };
    const auto own = [](Inputs &in) { return in.attend(where(in.j <= in.i + in.h, in.score())); };
    CpuProgram program(own, Float(32), 16, 16, 16, 16, lower);
}

TEST(SimtShared, is_worth_it_where_heads_read_the_same) {
    const auto axis_of = [](const Define &define) {
        std::string axis;
        const Lower lower = [&](const TileProgram &program, const Choices &, const Target &) {
            axis = axis_to_share(program);
            return lower_simt_serially(program, false);
        };
        CpuProgram program(define, BFloat(16), 16, 16, 16, 16, lower);
        return axis.substr(0, 1);
    };
    EXPECT_EQ(axis_of(with_pairs), "h");
    EXPECT_EQ(axis_of(with_biased_pairs), "i");
    EXPECT_EQ(axis_of([](Inputs &in) { return in.attend(in.score()); }), "");
}

}  // namespace
