// What a C++ program sees: only headers of include/strobe. A schedule's three forms are one, and it is obeyed.

#include "strobe/attention.h"
#include "strobe/strobe.h"

#include <gtest/gtest.h>

#include <random>

using namespace Halide;

namespace {

struct Causal {
    ImageParam q{Float(32), 4, "q"}, k{Float(32), 4, "k"}, v{Float(32), 4, "v"};
    Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};
    strobe::Softmax p;
    Func out{"out"}, lse{"lse"};

    Causal() {
        for (ImageParam *x : {&q, &k, &v}) {
            x->dim(0).set_bounds(0, 16);
        }
        p = strobe::softmax(strobe::where(strobe::causal(i, j), strobe::scores(q, k)(j, i, h, b) * 0.25f),
                            k.dim(1).extent());
        out(d, i, h, b) = strobe::weighted_sum(p.weights, v, q)(d, i, h, b);
        lse(i, h, b) = p.lse(i, h, b);
    }

    Pipeline pipeline() const {
        return Pipeline({out, lse});
    }

    /** In Halide's own objects where there are any. */
    strobe::Schedule schedule() const {
        return strobe::Schedule()
            .tile(i, 8)
            .stream(j, 8)
            .online({"row_sum", "weighted_sum"})
            .vectorize(i, 8)
            .parallel({i, h, b})
            .skip("mask");
    }
};

Buffer<float> random(std::mt19937 &engine, int length) {
    Buffer<float> x(16, length, 2, 1);
    std::uniform_real_distribution<float> of(-1, 1);
    x.for_each_value([&](float &value) { value = of(engine); });
    return x;
}

TEST(PublicInterface, ChainIsObeyed) {
    const Target target = get_jit_target_from_environment();
    Causal plain, scheduled;
    std::mt19937 engine(1);
    const Buffer<float> q = random(engine, 9), k = random(engine, 13), v = random(engine, 13);
    for (Causal *x : {&plain, &scheduled}) {
        x->q.set(q);
        x->k.set(k);
        x->v.set(v);
    }
    const strobe::Schedule whole = strobe::apply(scheduled.schedule(), scheduled.pipeline(), target);
    Buffer<float> want(16, 9, 2, 1), want_lse(9, 2, 1), got(16, 9, 2, 1), got_lse(9, 2, 1);
    plain.pipeline().realize({want, want_lse}, target.with_feature(Target::StrictFloat));
    scheduled.pipeline().realize({got, got_lse}, target);
    got.for_each_element([&](int d, int i, int h, int b) { ASSERT_NEAR(got(d, i, h, b), want(d, i, h, b), 2e-6) << i; });
    got_lse.for_each_element([&](int i, int h, int b) { ASSERT_NEAR(got_lse(i, h, b), want_lse(i, h, b), 2e-6) << i; });
    for (const strobe::Directive &d : scheduled.schedule().directives) {
        const strobe::Directive *kept = whole.find(d.name);
        ASSERT_NE(kept, nullptr) << d.name;
        EXPECT_EQ(*kept, d) << whole;
    }
}

/** What stands between the headings of the schedule and of the program. */
std::string schedule_in(const std::string &explanation) {
    const std::string from = "\nschedule\n", to = "\nprogram";
    const size_t begin = explanation.find(from) + from.size();
    return explanation.substr(begin, explanation.find(to, begin) - begin);
}

TEST(PublicInterface, ThreeFormsAreOne) {
    for (const char *target : {"x86-64-linux-avx2-fma", "x86-64-linux-avx2-fma-f16c-avx512-avx512_skylake"}) {
        const Causal x;
        const strobe::Schedule chain = x.schedule(), text = strobe::parse_schedule(to_string(chain));
        EXPECT_EQ(text, chain);
        const std::string told = strobe::explain({x.out, x.lse}, Target(target), chain);
        const strobe::Schedule explained = strobe::parse_schedule(schedule_in(told));
        EXPECT_EQ(strobe::explain({x.out, x.lse}, Target(target), explained), told) << explained;
        for (const strobe::Directive &d : chain.directives) {
            const strobe::Directive *kept = explained.find(d.name);
            ASSERT_NE(kept, nullptr) << d.name << " is not in\n" << told;
            EXPECT_EQ(*kept, d) << told;
        }
    }
}

TEST(PublicInterface, IllegalChainsSayWhatIsLegal) {
    const Causal x;
    try {
        strobe::apply(strobe::Schedule().tile(x.j, 64), x.pipeline(), Target("x86-64-linux-avx2"));
        ADD_FAILURE() << "no error";
    } catch (const std::runtime_error &e) {
        const std::string text = e.what();
        EXPECT_NE(text.find("can't tile(j, 64)"), std::string::npos) << text;
        EXPECT_NE(text.find("legal here"), std::string::npos) << text;
    }
}

}  // namespace
