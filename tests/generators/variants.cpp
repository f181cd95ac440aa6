// Each shipped algorithm, unscheduled and in float64, against its formula written out by hand.

#include "Formulas.h"
#include "driver/Reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

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
