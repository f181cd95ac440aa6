// Two packages of one algorithm as one: plans keep pointing at what they did.

#include "lower/AddPlans.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace strobe;

namespace {

const ElementType half{4, 16}, single{2, 32};

/** PTX as expand_ptx leaves it, with one kernel. */
std::string code(const std::string &entry) {
    return ".version 8.7\n.target sm_90a\n.address_size 64\n.extern .shared .align 1024 .b8 strobe_shared[];\n.visible .entry " +
           entry + "() { ret; }\n";
}

KernelPackage package(const std::vector<std::string> &buffers, const std::vector<std::string> &scalars, const std::string &entry) {
    KernelPackage p;
    p.architecture = "sm_90a";
    p.is_ptx = true;
    p.code = code(entry);
    for (const std::string &b : buffers) {
        p.buffers.push_back({b, half, 4, b == "out"});
    }
    for (const std::string &s : scalars) {
        p.scalars.push_back({s, single});
    }
    const auto place = [&](const std::string &name) {
        return int32_t(std::find(buffers.begin(), buffers.end(), name) - buffers.begin());
    };
    LaunchPlan plan;
    KernelSpec kernel;
    kernel.entry = entry;
    kernel.params = {{ParamSpec::Kind::Pointer, place("k"), 0}, {ParamSpec::Kind::Extent, place("v"), 1},
                     {ParamSpec::Kind::Workspace, 0, 0},        {ParamSpec::Kind::Scalar, int32_t(scalars.size()) - 1, 0}};
    kernel.work = {{place("out"), 1, 64}, {-1, 0, 3}};
    plan.kernels = {kernel};
    plan.tensor_maps = {{place("v"), {64, 1, 1, 1}, 128}};
    plan.workspaces = {{{{place("k"), 1, 128}}, 4, false}};
    plan.steps = {{place("k"), 1, 32}};
    p.plans = {plan};
    return p;
}

TEST(AddPlans, FindsBuffersAndScalarsByName) {
    KernelPackage all = package({"q", "k", "v", "out"}, {"scale", "bias"}, "first");
    const KernelPackage more = package({"v", "out", "k", "q"}, {"bias", "scale"}, "second");
    ASSERT_TRUE(add_plans(all, more));
    ASSERT_EQ(all.plans.size(), 2u);
    const LaunchPlan &plan = all.plans[1];
    const KernelSpec &kernel = plan.kernels[0];
    EXPECT_EQ(kernel.params[0].index, 1);  // k
    EXPECT_EQ(kernel.params[1].index, 2);  // v
    EXPECT_EQ(kernel.params[2].index, 0);  // a workspace keeps its number
    EXPECT_EQ(kernel.params[3].index, 0);  // scale
    EXPECT_EQ(kernel.work[0].buffer, 3);   // out
    EXPECT_EQ(kernel.work[1].buffer, -1);
    EXPECT_EQ(plan.tensor_maps[0].buffer, 2);
    EXPECT_EQ(plan.workspaces[0].elements[0].buffer, 1);
    EXPECT_EQ(plan.steps[0].buffer, 1);
    EXPECT_NE(all.code.find(".entry first"), std::string::npos);
    EXPECT_NE(all.code.find(".entry second"), std::string::npos);
    EXPECT_EQ(all.code.find(".version", 1), std::string::npos) << "two headers";
}

TEST(AddPlans, LeavesWhatTakesOtherArguments) {
    KernelPackage all = package({"q", "k", "v", "out"}, {"scale"}, "first");
    const std::string before = all.code;
    EXPECT_FALSE(add_plans(all, package({"q", "k", "v", "gate", "out"}, {"scale"}, "second")));
    EXPECT_FALSE(add_plans(all, package({"q", "k", "w", "v", "out"}, {"scale"}, "second")));
    EXPECT_FALSE(add_plans(all, package({"q", "k", "v", "out"}, {"cap"}, "second")));
    EXPECT_EQ(all.plans.size(), 1u);
    EXPECT_EQ(all.code, before);
}

}  // namespace
