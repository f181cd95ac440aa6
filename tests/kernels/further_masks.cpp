// Masks that no shipped algorithm has: right on the CPU, and kernels without spills that judge
// tiles wherever the mask's data allow it.

#include "driver/Compile.h"
#include "driver/CompileCuda.h"
#include "driver/Problem.h"
#include "driver/Reference.h"
#include "strobe/attention.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;

namespace {

const int queries = 200, keys = 230, heads = 2, batches = 2;

/** Attention under a mask, and the mask's inputs with some data. */
class Masked {
    Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};
    std::vector<ImageParam> tables;
    std::vector<Param<int>> scalars;
    ImageParam q, k, v;
    Param<float> scale{"scale", 0.125f, 1e-6f, 1e6f};

    template<typename Value>
    Func table(const char *name, Type t, const std::vector<int> &sizes, const Value &value) {
        ImageParam p(t, int(sizes.size()), name);
        Buffer<> data(t, sizes);
        fill(data, value);
        p.set(data);
        tables.push_back(p);
        return p;
    }
    Expr scalar(const char *name, int value, int least) {
        scalars.emplace_back(name, value, least, 1 << 20);
        scalars.back().set(value);
        return scalars.back();
    }

    Expr strided_and_local() {
        const Expr back = i - j, local = scalar("local", 24, 0), stride = scalar("stride", 40, 1);
        return j <= i && (back < local || back % stride == 0);
    }
    /** Each node of a tree sees itself and its nearest ancestors (tree attention of speculative decoding). */
    Expr ancestors() {
        Func parent = table("parent", Int(32), {keys, batches}, [](int64_t n) { return n % keys / 2; });
        Expr seen = j == i, node = i;
        for (int n = 0; n < 3; n++) {
            node = parent(clamp(node, 0, keys - 1), b);
            seen = seen || j == node;
        }
        return seen;
    }
    Expr blocks_of_a_bitmap() {
        Func allowed = table("allowed", UInt(8), {(keys + 63) / 64, (queries + 63) / 64, heads, batches},
                             [](int64_t n) { return n % 3 != 1; });
        return allowed(j / 64, i / 64, h, b) != cast<uint8_t>(0);
    }
    Expr padding() {
        Func keep = table("keep", UInt(8), {keys, batches}, [](int64_t n) { return n % keys < 150; });
        return keep(j, b) != cast<uint8_t>(0) && j <= i + 20;
    }
    Expr window_of_a_head() {
        Func window = table("window", Int(32), {heads}, [](int64_t n) { return 20 + 50 * n; });
        return Halide::abs(i - j) <= window(h);
    }
    /** Sequences behind one another, which begin elsewhere among the queries and the keys; causal at their starts. */
    Expr jagged() {
        Func of_query = table("of_query", Int(32), {queries}, [](int64_t n) { return n / 70; });
        Func of_key = table("of_key", Int(32), {keys}, [](int64_t n) { return n < 90 ? 0 : n < 150 ? 1 : 2; });
        Func first_query = table("first_query", Int(32), {3}, [](int64_t n) { return 70 * n; });
        Func first_key = table("first_key", Int(32), {3}, [](int64_t n) { return n == 0 ? 0 : n == 1 ? 90 : 150; });
        const Expr a = of_query(i), c = of_key(j);
        return a == c && j - first_key(clamp(c, 0, 2)) <= i - first_query(clamp(a, 0, 2));
    }
    /** The type that tensors of integers have in most Python programs. */
    Expr wide_integers() {
        Func ids = table("ids", Int(64), {keys, batches}, [](int64_t n) { return n % keys / 50 + (int64_t(1) << 33); });
        Func kind = table("kind", Int(64), {keys, batches}, [](int64_t n) { return n % keys / 70; });
        Func reach = table("reach", Int(64), {keys}, [](int64_t n) { return n < 100 ? int64_t(1) << 40 : 40; });
        Func lengths = table("lengths", Int(64), {batches}, [](int64_t n) { return 180 + 30 * n; });
        return (ids(i, b) == ids(j, b) || kind(i, b) > kind(j, b)) && i - j < reach(j) && j < lengths(b);
    }
    /** Pixels in the order of a Z curve, whose bits are those of x and y in turn. */
    Expr z_curve() {
        const auto every_other = [](Expr n) {
            n = n & 0x55555555;
            n = (n | (n >> 1)) & 0x33333333;
            return (n | (n >> 2)) & 0x0F0F0F0F;
        };
        const auto near = [&](const Expr &a, const Expr &c) { return Halide::abs(every_other(a) - every_other(c)) <= 3; };
        return near(i, j) && near(i >> 1, j >> 1);
    }

public:
    Instance instance;

    Masked(const std::string &mask, Type t, int features)
        : q(t, 4, "q"), k(t, 4, "k"), v(t, 4, "v") {
        for (ImageParam *p : {&q, &k, &v}) {
            p->dim(0).set_bounds(0, features);
        }
        Expr seen = mask == "strided_and_local"    ? strided_and_local()
                    : mask == "ancestors"          ? ancestors()
                    : mask == "blocks_of_a_bitmap" ? blocks_of_a_bitmap()
                    : mask == "padding"            ? padding()
                    : mask == "window_of_a_head"   ? window_of_a_head()
                    : mask == "jagged"             ? jagged()
                    : mask == "wide_integers"      ? wide_integers()
                                                   : z_curve();
        const Tensor query(q), key(k), value(v);
        Expr s = scores(query, key)(j, i, h, b) * scale;
        Func out("out"), sum = weighted_sum(softmax(strobe::where(seen, s), key.length).weights, value, query);
        out(d, i, h, b) = cast(t, sum(d, i, h, b));
        out.output_buffer().dim(0).set_bounds(0, features);
        instance.name = mask;
        instance.outputs = {out};
        instance.pipeline = Pipeline(instance.outputs);
        for (const ImageParam &p : {q, k, v}) {
            instance.inputs.push_back(p.parameter());
        }
        for (const ImageParam &p : tables) {
            instance.inputs.push_back(p.parameter());
        }
        for (const Param<int> &p : scalars) {
            instance.inputs.push_back(p.parameter());
        }
        instance.inputs.push_back(scale.parameter());
    }

    std::vector<Buffer<>> run(const std::vector<Func> &outputs, Pipeline pipeline, const Target &target) {
        Problem problem;
        problem.queries = queries;
        problem.keys = keys;
        problem.heads = problem.kv_heads = heads;
        problem.batch = batches;
        for (const Param<int> &p : scalars) {
            problem.scalars[p.name()] = p.get();
        }
        problem.scalars["scale"] = 0.125;
        bind_inputs(instance, problem);
        std::vector<Buffer<>> results = make_outputs(instance, outputs, problem);
        pipeline.realize(Realization(results), target);
        return results;
    }
};

class FurtherMasks : public testing::TestWithParam<const char *> {};

TEST_P(FurtherMasks, AreRight) {
    Masked plain(GetParam(), Float(32), 8), tiled(GetParam(), Float(32), 8);
    const std::vector<Func> exact = widen_to_float64(plain.instance.outputs);
    compute_reductions_at_root(exact);
    const std::vector<Buffer<>> expected = plain.run(exact, Pipeline(exact), reference_target());
    autoschedule(tiled.instance.pipeline, get_host_target());
    const std::vector<Buffer<>> got = tiled.run(tiled.instance.outputs, tiled.instance.pipeline, get_host_target());
    const Difference d = difference(got[0], expected[0]);
    EXPECT_LE(d.largest, 2e-6) << "at " << d.at << ": got " << element(got[0], d.at) << ", expected "
                               << element(expected[0], d.at);
}

TEST_P(FurtherMasks, Assemble) {
    for (int features : {64, 128}) {
        Masked masked(GetParam(), BFloat(16), features);
        CudaCompilation c;
        try {
            c = compile_cuda(masked.instance.outputs, Target("x86-64-linux-cuda"), Schedule(), "masked");
        } catch (const Halide::Error &e) {
            FAIL() << e.what();
        }
        ASSERT_FALSE(c.general) << c.general_because;
        ASSERT_EQ(c.package.plans.size(), 1u);
        const bool judges = c.ptx.find("_order") != std::string::npos;
        EXPECT_TRUE(judges) << c.package.plans[0].schedule;
        for (const KernelStatistics &k : c.kernels) {
            EXPECT_EQ(k.spill_store_bytes + k.spill_load_bytes + k.stack_bytes, 0) << c.statistics();
        }
        EXPECT_TRUE(c.warnings.empty()) << c.statistics();
    }
}

INSTANTIATE_TEST_SUITE_P(All, FurtherMasks,
                         testing::Values("strided_and_local", "ancestors", "blocks_of_a_bitmap", "padding",
                                         "window_of_a_head", "jagged", "wide_integers", "z_curve"),
                         [](const testing::TestParamInfo<const char *> &info) { return info.param; });

}  // namespace
