// Tile programs as loops for the CPU, against the interpreter: ragged sizes, element
// types, storage orders, guard margins.

#include "CpuHarness.h"

#include "lower/cpu/Context.h"
#include "lower/cpu/InputElements.h"

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

const Shape ragged[] = {{1, 1, 1, 1, 1},   {5, 3, 2, 1, 1},    {64, 96, 1, 1, 2}, {65, 97, 2, 2, 1},
                        {31, 200, 4, 2, 1}, {200, 31, 2, 1, 2}, {1, 333, 3, 3, 1}, {129, 1, 1, 1, 1}};

std::vector<Func> causal(Inputs &in) {
    return in.attend(where(strobe::causal(in.i, in.j), in.score()));
}

std::vector<Func> full(Inputs &in) {
    return in.attend(in.score());
}

void check_ragged(const Define &define, Type type, int head_dim, int value_dim, int query_tile, int stream_tile) {
    CpuProgram program(define, type, head_dim, value_dim, query_tile, stream_tile);
    for (const Shape &shape : ragged) {
        program.check(shape, {0, 1, 2, 3}, 1);
    }
}

TEST(CpuPrograms, full) {
    check_ragged(full, Float(32), 16, 24, 32, 48);
}

TEST(CpuPrograms, causal) {
    check_ragged(causal, Float(32), 40, 8, 64, 32);
}

TEST(CpuPrograms, bfloat16) {
    check_ragged(causal, BFloat(16), 32, 16, 24, 40);
}

TEST(CpuPrograms, float16) {
    check_ragged(causal, Float(16), 16, 32, 30, 64);
}

TEST(CpuPrograms, odd_feature_sizes) {
    check_ragged(causal, Float(32), 5, 3, 7, 9);
}

TEST(CpuPrograms, one_feature) {
    check_ragged(full, Float(32), 1, 1, 6, 16);
}

TEST(CpuPrograms, bias_tensor) {
    check_ragged([](Inputs &in) { return in.attend(in.score() + in.bias(in.j, in.i)); }, Float(32), 16, 16, 16, 32);
}

TEST(CpuPrograms, softcap) {
    check_ragged([](Inputs &in) { return in.attend(strobe::softcap(in.score(), 2.0f)); }, Float(32), 16, 16, 16, 32);
}

TEST(CpuPrograms, document_mask) {
    check_ragged([](Inputs &in) {
        return in.attend(where(strobe::same_document(in.document, in.i, in.j, in.b), in.score()));
    }, Float(32), 16, 16, 16, 32);
}

TEST(CpuPrograms, sliding_window_leaves_rows_empty) {
    // Rows beyond the keys and their window see nothing: 0 and -inf.
    check_ragged([](Inputs &in) { return in.attend(where(strobe::sliding_window(in.i, in.j, 20), in.score())); },
                 Float(32), 16, 16, 16, 32);
}

TEST(CpuPrograms, sigmoid_without_normaliser) {
    check_ragged([](Inputs &in) {
        Func weights("weights"), out("out");
        weights(in.j, in.i, in.h, in.b) = 1.0f / (1.0f + exp(-in.score()));
        out(in.d, in.i, in.h, in.b) = weighted_sum(weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b);
        return std::vector<Func>{out};
    }, Float(32), 16, 8, 16, 32);
}

TEST(CpuPrograms, no_keys) {
    CpuProgram program(causal, Float(32), 8, 8, 16, 16);
    program.check({20, 0, 2, 1, 1}, {0, 1, 2, 3}, 2);
}

TEST(CpuPrograms, no_queries) {
    CpuProgram program(causal, Float(32), 8, 8, 16, 16);
    program.check({0, 20, 2, 1, 1}, {0, 1, 2, 3}, 2);
    program.check({20, 20, 2, 1, 0}, {0, 1, 2, 3}, 2);
}

/** Blocks of several strips, vectors of other widths than the machine's. */
TEST(CpuPrograms, lanes) {
    for (const int lanes : {4, 32}) {
        SCOPED_TRACE(lanes);
        const Lower lower = [&](const TileProgram &p, Choices c, const Target &t) {
            c.vector_lanes = lanes;
            return lower_cpu(p, c, t);
        };
        CpuProgram program(causal, Float(32), 24, 20, 160, 48, lower);
        program.check({333, 222, 2, 1, 1}, {0, 1, 2, 3}, 1);
        program.check({1, 100, 1, 1, 1}, {0, 1, 2, 3}, 1);
    }
}

/** Inputs over rows and keys pass through tiles, whichever way they are contiguous; so does what is added to outputs. */
TEST(CpuPrograms, inputs_over_rows_keys_and_features) {
    CpuProgram program([](Inputs &in) {
        Func weights("weights"), out("out");
        weights(in.j, in.i, in.h, in.b) = max(in.score() + in.bias(in.j, in.i), 0.0f) * in.bias(in.j, 0);
        out(in.d, in.i, in.h, in.b) = weighted_sum(weights, Tensor(in.v), Tensor(in.q))(in.d, in.i, in.h, in.b) +
                                      Halide::cast<float>(in.q(in.d, in.i, in.h, in.b));
        return std::vector<Func>{out};
    }, BFloat(16), 16, 16, 64, 32);
    for (const Shape &shape : ragged) {
        program.check(shape, {0, 1, 2, 3}, 1);
        program.check(shape, {1, 0, 2, 3}, 1);
    }
}

/** What lives no longer than a strip's turn is in one place, and scores and weights take turns there. */
TEST(CpuPrograms, strips_share_memory) {
    const CpuProgram made(causal, Float(32), 16, 16, 256, 64);
    const TileProgram program = cpu::with_tiles_for_transfers(made.program);
    const cpu::Context context(program, Target("x86-64-linux-avx2-fma"), 8);
    EXPECT_EQ(context.strips.rows, 16);
    EXPECT_EQ(context.strips.count, 16);
    EXPECT_EQ(context.at("%w0").name, context.at("%scores").name);
    EXPECT_EQ(context.at("%w0").elements(), 16 * 64);
    EXPECT_EQ(context.at("%m1").strips, 16);
    EXPECT_EQ(context.at("%k").strips, 1);
}

TEST(CpuPrograms, all_storage_orders) {
    CpuProgram program(causal, Float(32), 24, 16, 24, 32);
    std::vector<int> order = {0, 1, 2, 3};
    do {
        program.check({37, 45, 4, 2, 2}, order, 1);
    } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace
