#include "Halide.h"
#include "plugin_causal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace Halide;

namespace {

/** Causal attention written with bare Funcs, without a building block of Strobe's. */
struct BareCausal {
    ImageParam q{Float(32), 4, "q"}, k{Float(32), 4, "k"}, v{Float(32), 4, "v"};
    Func out{"attention"};

    BareCausal() {
        Var d("d"), i("i"), h("h"), b("b");
        RDom f(0, q.dim(0).extent()), j(0, k.dim(1).extent());
        Func score("score"), m("m"), l("l"), o("o");
        Var key("key");
        score(key, i, h, b) += q(f, i, h, b) * k(f, key, h, b);
        Func s("s");
        s(key, i, h, b) = select(key <= i, score(key, i, h, b) * 0.5f, Float(32).min());
        m(i, h, b) = Float(32).min();
        m(i, h, b) = max(m(i, h, b), s(j, i, h, b));
        Func e("e");
        e(key, i, h, b) = exp(s(key, i, h, b) - m(i, h, b));
        l(i, h, b) += e(j, i, h, b);
        o(d, i, h, b) += e(j, i, h, b) * v(d, j, h, b);
        out(d, i, h, b) = o(d, i, h, b) / l(i, h, b);
        for (ImageParam *p : {&q, &k, &v}) {
            p->dim(0).set_bounds(0, 8);
        }
        out.output_buffer().dim(0).set_bounds(0, 8);
    }
};

Buffer<float> random(int seed, const std::vector<int> &sizes) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    Buffer<float> buffer(sizes);
    buffer.for_each_value([&](float &x) { x = normal(generator); });
    return buffer;
}

/** out and lse of one head by hand. */
void expect_causal(const Buffer<float> &q, const Buffer<float> &k, const Buffer<float> &v, const Buffer<float> &out,
                   float scale) {
    for (int h = 0; h < q.dim(2).extent(); h++) {
        for (int i = 0; i < q.dim(1).extent(); i++) {
            std::vector<double> o(8);
            double sum = 0;
            for (int j = 0; j <= i && j < k.dim(1).extent(); j++) {
                double s = 0;
                for (int d = 0; d < 8; d++) {
                    s += double(q(d, i, h, 0)) * k(d, j, h, 0);
                }
                const double weight = std::exp(s * scale);
                sum += weight;
                for (int d = 0; d < 8; d++) {
                    o[d] += weight * v(d, j, h, 0);
                }
            }
            for (int d = 0; d < 8; d++) {
                ASSERT_NEAR(out(d, i, h, 0), o[d] / sum, 1e-5) << "d " << d << " i " << i << " h " << h;
            }
        }
    }
}

class Plugin : public testing::Test {
protected:
    static void SetUpTestSuite() {
        load_plugin(STROBE_PLUGIN);
    }
};

std::string error_of(const std::map<std::string, std::string> &params) {
    BareCausal causal;
    try {
        Pipeline(causal.out).apply_autoscheduler(get_host_target(), AutoschedulerParams("Strobe", params));
    } catch (const CompileError &e) {
        return e.what();
    }
    return "no error";
}

}  // namespace

TEST_F(Plugin, schedules_bare_funcs) {
    BareCausal causal;
    Pipeline pipeline(causal.out);
    const AutoSchedulerResults results =
        pipeline.apply_autoscheduler(get_host_target(), AutoschedulerParams("Strobe", {}));
    EXPECT_NE(results.schedule_source.find("stream("), std::string::npos) << results.schedule_source;
    const Buffer<float> q = random(1, {8, 70, 2, 1}), k = random(2, {8, 70, 2, 1}), v = random(3, {8, 70, 2, 1});
    causal.q.set(q);
    causal.k.set(k);
    causal.v.set(v);
    const Buffer<float> out = pipeline.realize({8, 70, 2, 1});
    expect_causal(q, k, v, out, 0.5f);
}

TEST_F(Plugin, compiles_ahead_of_time) {
    Buffer<float> q = random(1, {8, 37, 3, 1}), k = random(2, {8, 37, 3, 1}), v = random(3, {8, 37, 3, 1});
    Buffer<float> out(8, 37, 3, 1), lse(37, 3, 1);
    ASSERT_EQ(plugin_causal(q.raw_buffer(), k.raw_buffer(), v.raw_buffer(), 0.25f, out.raw_buffer(), lse.raw_buffer()),
              0);
    expect_causal(q, k, v, out, 0.25f);
}

TEST_F(Plugin, refuses_unknown_parameter) {
    const std::string error = error_of({{"schedul", "x"}});
    EXPECT_NE(error.find("no parameter schedul (did you mean schedule?)"), std::string::npos) << error;
}

TEST_F(Plugin, refuses_missing_schedule) {
    const std::string error = error_of({{"schedule", "/no/such/file.strobe"}});
    EXPECT_NE(error.find("/no/such/file.strobe"), std::string::npos) << error;
}

TEST_F(Plugin, refuses_what_is_no_attention) {
    Func f("blur");
    Var x("x"), y("y");
    f(x, y) = cast<float>(x + y);
    try {
        Pipeline(f).apply_autoscheduler(get_host_target(), AutoschedulerParams("Strobe", {}));
        ADD_FAILURE() << "no error";
    } catch (const CompileError &e) {
        EXPECT_NE(std::string(e.what()).find("stream"), std::string::npos) << e.what();
    }
}
