// Each shipped algorithm, unscheduled and in float64, against its formula written out by hand.

#include "driver/Problem.h"
#include "driver/Reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

using namespace Halide;
using namespace strobe;

namespace {

/** What element access a formula needs besides the scaled score. */
struct Context {
    Instance &instance;

    double scalar(const std::string &name) {
        Parameter *p = instance.input(name);
        return p->type().is_float() ? p->scalar<float>() : p->scalar<int32_t>();
    }
    double at(const std::string &name, int x, int y = 0) {
        Buffer<> buffer = instance.input(name)->buffer();
        return element(buffer, x + (buffer.dimensions() > 1 ? int64_t(y) * buffer.dim(1).stride() : 0));
    }
};

/** The score that takes part in the softmax; -HUGE_VAL where masked. */
using Formula = std::function<double(Context &, double s, int i, int j, int h, int b)>;

struct Variant {
    const char *name;
    Formula formula;
};

std::ostream &operator<<(std::ostream &stream, const Variant &v) {
    return stream << v.name;
}

double masked(bool live, double s) {
    return live ? s : -HUGE_VAL;
}

const Variant variants[] = {
    {"full", [](Context &, double s, int, int, int, int) { return s; }},
    {"causal", [](Context &, double s, int i, int j, int, int) { return masked(j <= i, s); }},
    {"alibi", [](Context &c, double s, int i, int j, int h, int) { return s + c.at("slopes", h) * (j - i); }},
    {"softcap",
     [](Context &c, double s, int, int, int, int) { return c.scalar("cap") * std::tanh(s / c.scalar("cap")); }},
    {"sliding_window",
     [](Context &c, double s, int i, int j, int, int) { return masked(j <= i && j >= i - c.scalar("window"), s); }},
    {"prefix_lm",
     [](Context &c, double s, int i, int j, int, int) { return masked(j <= i || j < c.scalar("prefix"), s); }},
    {"document_mask", [](Context &c, double s, int i, int j, int,
                         int b) { return masked(c.at("document", i, b) == c.at("document", j, b), s); }},
};

struct Expected {
    std::vector<double> out, lse;
};

Expected by_hand(Instance &instance, const Problem &p, const Formula &formula) {
    Context context{instance};
    Buffer<> q = instance.input("q")->buffer(), k = instance.input("k")->buffer(), v = instance.input("v")->buffer();
    const int D = q.dim(0).extent(), Dv = v.dim(0).extent(), group = p.heads / p.kv_heads;
    const double scale = context.scalar("scale");
    Expected e;
    for (int b = 0; b < p.batch; b++) {
        for (int h = 0; h < p.heads; h++) {
            for (int i = 0; i < p.queries; i++) {
                auto key_row = [&](int j) { return (int64_t(b) * p.kv_heads + h / group) * p.keys + j; };
                std::vector<double> s(p.keys);
                double row_max = -HUGE_VAL, sum = 0;
                for (int j = 0; j < p.keys; j++) {
                    double dot = 0;
                    for (int d = 0; d < D; d++) {
                        dot += element(q, ((int64_t(b) * p.heads + h) * p.queries + i) * D + d) *
                               element(k, key_row(j) * D + d);
                    }
                    s[j] = formula(context, dot * scale, i, j, h, b);
                    row_max = std::max(row_max, s[j]);
                }
                std::vector<double> o(Dv);
                for (int j = 0; j < p.keys && row_max > -HUGE_VAL; j++) {
                    const double weight = std::exp(s[j] - row_max);
                    sum += weight;
                    for (int d = 0; d < Dv; d++) {
                        o[d] += weight * element(v, key_row(j) * Dv + d);
                    }
                }
                for (double x : o) {
                    e.out.push_back(sum > 0 ? x / sum : 0);
                }
                e.lse.push_back(sum > 0 ? row_max + std::log(sum) : -HUGE_VAL);
            }
        }
    }
    return e;
}

void expect_close(const Buffer<> &got, const std::vector<double> &expected, double tolerance, const std::string &what) {
    ASSERT_EQ(int64_t(got.number_of_elements()), int64_t(expected.size())) << what;
    int64_t wrong = 0;
    for (size_t n = 0; n < expected.size(); n++) {
        const double x = element(got, n), y = expected[n];
        const bool ok = x == y || std::abs(x - y) <= tolerance * std::max(1.0, std::abs(y));
        if (!ok && wrong++ < 3) {
            ADD_FAILURE() << what << " element " << n << ": got " << x << ", expected " << y;
        }
    }
    EXPECT_EQ(wrong, 0) << what;
}

Problem sized(int batch, int heads, int kv_heads, int queries, int keys) {
    Problem p;
    p.batch = batch;
    p.heads = heads;
    p.kv_heads = kv_heads;
    p.queries = queries;
    p.keys = keys;
    return p;
}

class Variants : public testing::TestWithParam<Variant> {
protected:
    Problem problem;

    void run(const std::map<std::string, std::string> &params) {
        Instance instance = build_algorithm(GetParam().name, params, get_host_target());
        if (instance.input("window") && !problem.scalars.count("window")) {
            problem.scalars["window"] = 9;
        }
        if (instance.input("prefix") && !problem.scalars.count("prefix")) {
            problem.scalars["prefix"] = 7;
        }
        bind_inputs(instance, problem);
        const Expected expected = by_hand(instance, problem, GetParam().formula);
        const double roundoff = unit_roundoff(instance.outputs[0].type());

        compute_reductions_at_root(instance.outputs);
        std::vector<Buffer<>> got = make_outputs(instance, instance.outputs, problem);
        instance.pipeline.realize(Realization(got), reference_target());
        expect_close(got[0], expected.out, 2e-6 + roundoff, "out");
        expect_close(got[1], expected.lse, 2e-6, "lse");

        const std::vector<Func> wide = widen_to_float64(instance.outputs);
        compute_reductions_at_root(wide);
        got = make_outputs(instance, wide, problem);
        Pipeline(wide).realize(Realization(got), reference_target());
        expect_close(got[0], expected.out, 1e-12, "out in float64");
        expect_close(got[1], expected.lse, 1e-12, "lse in float64");
    }
};

}  // namespace

TEST_P(Variants, bf16) {
    problem = sized(1, 2, 2, 33, 33);
    run({{"head_dim", "16"}});
}

TEST_P(Variants, fp16_other_value_dim) {
    problem = sized(2, 1, 1, 20, 20);
    run({{"dtype", "fp16"}, {"head_dim", "16"}, {"value_dim", "5"}});
}

TEST_P(Variants, fp32_grouped_heads_more_keys) {
    problem = sized(2, 6, 2, 11, 29);
    run({{"dtype", "fp32"}, {"head_dim", "8"}});
}

TEST_P(Variants, fp32_one_key_head_more_queries) {
    problem = sized(1, 3, 1, 40, 17);
    run({{"dtype", "fp32"}, {"head_dim", "3"}});
}

INSTANTIATE_TEST_SUITE_P(, Variants, testing::ValuesIn(variants),
                         [](const testing::TestParamInfo<Variant> &info) { return info.param.name; });

TEST(FullyMaskedRows, are_zero_with_lse_minus_infinity) {
    // Six documents of one position each, and only three keys: rows 3 to 5 see none.
    Instance instance = build_algorithm("document_mask", {{"dtype", "fp32"}, {"head_dim", "4"}}, get_host_target());
    const Problem problem = sized(1, 1, 1, 6, 3);
    bind_inputs(instance, problem);
    Buffer<> document = instance.input("document")->buffer();
    ASSERT_EQ(document.dim(0).extent(), 6);
    fill(document, [](int64_t n) { return double(n); });
    compute_reductions_at_root(instance.outputs);
    for (const Target &target : {reference_target(), get_host_target()}) {
        std::vector<Buffer<>> got = make_outputs(instance, instance.outputs, problem);
        instance.pipeline.realize(Realization(got), target);
        for (int i = 0; i < 6; i++) {
            for (int d = 0; d < 4; d++) {
                const double expected = i < 3 ? element(instance.input("v")->buffer(), i * 4 + d) : 0;
                EXPECT_EQ(element(got[0], i * 4 + d), expected) << target.to_string() << " row " << i;
            }
            EXPECT_EQ(std::isinf(element(got[1], i)), i >= 3) << target.to_string() << " row " << i;
        }
    }
}

TEST(Registry, lists_every_generator_file) {
    const std::vector<std::string> names = registered_algorithms();
    for (const Variant &v : variants) {
        EXPECT_EQ(std::count(names.begin(), names.end(), v.name), 1) << v.name;
    }
}
