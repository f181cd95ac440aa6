// Pipelines for a CUDA target: what Halide's compiler makes of them, and code
// compiled just in time.

#include "driver/Compile.h"
#include "driver/Problem.h"
#include "driver/Reference.h"
#include "lower/LaunchPackage.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;

namespace {

Target cuda_target() {
    return get_host_target().with_feature(Target::CUDA);
}

Target jit_target() {
    return cuda_target().with_feature(Target::JIT);
}

Instance scheduled(const std::string &variant, const Target &target) {
    Instance instance = build_algorithm(variant, {{"dtype", "bf16"}, {"head_dim", "64"}}, target);
    strobe::autoschedule(instance.pipeline, target);
    return instance;
}

std::string lowered(Instance &instance) {
    const Module module = instance.pipeline.compile_to_module(instance.arguments(), "attend", cuda_target());
    std::ostringstream text;
    for (const Internal::LoweredFunc &f : module.functions()) {
        text << f.body;
    }
    return text.str();
}

int count(const std::string &text, const std::string &what) {
    int n = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) {
        n++;
    }
    return n;
}

TEST(CudaPipelines, BecomeOneCall) {
    Instance instance = scheduled("softcap", cuda_target());
    const std::string text = lowered(instance);
    EXPECT_EQ(count(text, "strobe_halide_run_on("), 1) << text;
    EXPECT_EQ(count(text, "halide_cuda_device_interface("), 1) << text;
    EXPECT_EQ(count(text, "for "), 0) << "a loop is left\n" << text;
    EXPECT_EQ(count(text, "halide_error_host_is_null"), 0) << text;
    EXPECT_EQ(count(text, "halide_error_buffer_extents_too_large"), 0) << text;
    EXPECT_EQ(count(text, "halide_copy_to_host"), 0) << text;
    EXPECT_GE(count(text, "halide_error_bad_dimensions"), 5) << "checks are kept\n" << text;
    EXPECT_GE(count(text, "halide_error_param_too_small"), 1) << text;
}

/** Without a driver the error must be about CUDA, not about a symbol. */
TEST(CudaPipelines, RunJustInTime) {
    Instance instance = scheduled("causal", jit_target());
    Problem problem;
    problem.queries = problem.keys = 200;
    problem.heads = problem.kv_heads = 2;
    bind_inputs(instance, problem);
    ASSERT_NO_THROW(instance.pipeline.compile_jit(jit_target()));
    std::vector<Buffer<>> results = make_outputs(instance, instance.outputs, problem);
    testing::internal::CaptureStderr();
    try {
        instance.pipeline.realize(Realization(results), jit_target());
        std::cout << testing::internal::GetCapturedStderr();
    } catch (const Halide::RuntimeError &e) {
        const std::string text = e.what() + testing::internal::GetCapturedStderr();
        EXPECT_TRUE(count(text, "cuda") + count(text, "CUDA") > 0) << text;
        std::cout << "no GPU: " << text << "\n";
        return;
    }
    for (Buffer<> &b : results) {
        b.copy_to_host();
    }
    Instance again = build_algorithm("causal", {{"dtype", "bf16"}, {"head_dim", "64"}}, reference_target());
    bind_inputs(again, problem);
    compute_reductions_at_root(again.outputs);
    std::vector<Buffer<>> expected = make_outputs(again, again.outputs, problem);
    again.pipeline.realize(Realization(expected), reference_target());
    EXPECT_LT(difference(results[0], expected[0]).largest, 0.02);
    EXPECT_LT(difference(results[1], expected[1]).largest, 1e-3);
}

template<typename Body>
std::string user_error_of(const Body &body) {
    try {
        body();
    } catch (const UserError &e) {
        return e.what();
    } catch (const std::exception &e) {
        return std::string("not a UserError: ") + e.what();
    }
    return "no error";
}

TEST(BadCudaTargets, OtherGpus) {
    const std::string error = user_error_of([] {
        Instance instance = build_algorithm("full", {}, get_host_target());
        strobe::autoschedule(instance.pipeline, get_host_target().with_feature(Target::Vulkan));
    });
    EXPECT_NE(error.find("There is no code generator for the target"), std::string::npos) << error;
}

}  // namespace
