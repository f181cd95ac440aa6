// Which order is chosen where sums separate a second time, and what a schedule may say about it.

#include "algorithm/ReadAlgorithm.h"
#include "autoscheduler/ExchangeCost.h"
#include "autoscheduler/Search.h"
#include "derivation/DeriveOnline.h"
#include "schedule/CheckSchedule.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"
#include "strobe/attention.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace Halide;

namespace {

struct Linear {
    ReductionGraph graph;
    Plan plan;

    explicit Linear(bool is_causal) {
        ImageParam q(Float(32), 4, "q"), k(Float(32), 4, "k"), v(Float(32), 4, "v");
        for (ImageParam *p : {&q, &k, &v}) {
            p->dim(0).set_bounds(0, 64);
        }
        Var d("d"), i("i"), j("j"), h("h"), b("b");
        RDom c(0, 64);
        Func s("s"), w("w"), out("out");
        s(j, i, h, b) += max(q(c, i, h, b), 0.0f) * max(k(c, j, h, b), 0.0f);
        w(j, i, h, b) = is_causal ? select(causal(i, j), s(j, i, h, b), 0.0f) : s(j, i, h, b);
        out(d, i, h, b) = weighted_sum(w, v, q)(d, i, h, b);
        graph = read_algorithm({out});
        plan = derive_online(graph);
    }
    ScheduleChoice at(int length, const std::string &schedule = "") const {
        Shape shape;
        shape.sizes = {{plan.roles.query, length}, {plan.roles.stream, length}};
        return autoschedule(graph, plan, capability_of(Target("x86-64-linux-avx2-fma")), shape, parse_schedule(schedule));
    }
};

TEST(Exchange, IsChosenWhereRowsAreLong) {
    for (bool is_causal : {false, true}) {
        const Linear linear(is_causal);
        ASSERT_TRUE(linear.plan.second);
        const ScheduleChoice longer = linear.at(8192), shorter = linear.at(32);
        EXPECT_TRUE(longer.choices.exchange) << longer.schedule;
        EXPECT_FALSE(shorter.choices.exchange) << shorter.schedule;
        EXPECT_TRUE(is_causal ? longer.choices.query_tile % longer.choices.stream_tile == 0 : true);
        // Twice the length takes twice the time, or four times.
        EXPECT_NEAR(linear.at(16384).estimate.milliseconds / longer.estimate.milliseconds, 2, 0.2);
        EXPECT_NEAR(linear.at(16384, "exchange(off)").estimate.milliseconds / linear.at(8192, "exchange(off)").estimate.milliseconds, 4, 0.4);
    }
}

TEST(Exchange, FollowsTheSchedule) {
    const Linear linear(true);
    EXPECT_FALSE(linear.at(8192, "exchange(off)").choices.exchange);
    EXPECT_TRUE(linear.at(32, "exchange").choices.exchange);
    const ScheduleChoice choice = linear.at(8192, "tile(i, 96)");
    EXPECT_TRUE(!choice.choices.exchange || 96 % choice.choices.stream_tile == 0) << choice.schedule;
    EXPECT_EQ(parse_schedule(to_string(linear.at(8192).schedule)), linear.at(8192).schedule);
}

void expect_refused(const std::string &schedule, const std::string &says) {
    const Linear linear(true);
    try {
        linear.at(1024, schedule);
        FAIL() << schedule << " was accepted";
    } catch (const UserError &e) {
        EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
    }
}

TEST(Exchange, IsRefusedWithWhatForbidsIt) {
    expect_refused("exchange tile(i, 64) stream(j, 48)", "64 i apart, which is no multiple of a tile of 48 j");
    expect_refused("exchange split(j, 4)", "already side by side");
}

TEST(Exchange, CountsMultiplyAdds) {
    const Linear whole(false), causal(true);
    Shape shape;
    shape = complete_shape(shape, whole.graph, whole.plan.roles);
    shape.sizes[whole.plan.roles.query] = shape.sizes[whole.plan.roles.stream] = 4096;
    const ExchangeCost cost = exchange_cost(whole.plan, shape, 128);
    EXPECT_EQ(cost.walked, 4096 * (64 + 64));
    EXPECT_EQ(cost.ahead(), 2 * 64 * 64);
    EXPECT_EQ(exchange_cost(causal.plan, shape, 128).own_walk, 128 * (64 + 64));
}

}  // namespace
