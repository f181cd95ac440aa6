#include "driver/Problem.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;

namespace {

void expect_user_error(const std::function<void()> &action, const std::vector<std::string> &texts) {
    try {
        action();
    } catch (const UserError &e) {
        for (const std::string &text : texts) {
            EXPECT_NE(std::string(e.what()).find(text), std::string::npos)
                << "got: " << e.what() << "\nexpected in it: " << text;
        }
        return;
    }
    ADD_FAILURE() << "no UserError; expected one with: " << texts[0];
}

Instance build(const std::string &name, const std::map<std::string, std::string> &params = {{"head_dim", "8"}}) {
    return build_algorithm(name, params, Halide::get_host_target());
}

Problem sized(int batch, int heads, int kv_heads) {
    Problem problem;
    problem.batch = batch;
    problem.heads = heads;
    problem.kv_heads = kv_heads;
    problem.queries = problem.keys = 5;
    return problem;
}

void bind(const std::string &name, const Problem &problem) {
    Instance instance = build(name);
    bind_inputs(instance, problem);
}

}  // namespace

TEST(BadProblem, unknown_algorithm) {
    expect_user_error([] { build("casual"); }, {"there is no algorithm casual", "did you mean causal?"});
}

TEST(BadProblem, unknown_parameter) {
    expect_user_error(
        [] {
            build("full", {{"head_dims", "64"}});
        },
        {"full has no parameter head_dims", "did you mean head_dim?"});
}

TEST(BadProblem, unknown_dtype) {
    expect_user_error([] { build("full", {{"dtype", "fp8"}}); }, {"dtype of full can't be 'fp8'"});
}

TEST(BadProblem, head_dim_out_of_range) {
    expect_user_error([] { build("full", {{"head_dim", "0"}}); }, {"can't build full: head_dim is 0", "[1, 1024]"});
}

TEST(BadProblem, head_dim_not_a_number) {
    expect_user_error([] { build("full", {{"head_dim", "wide"}}); }, {"head_dim of full can't be 'wide'"});
}

TEST(BadProblem, empty_batch) {
    expect_user_error([] { bind("full", sized(0, 1, 1)); }, {"batch is 0", "at least 1"});
}

TEST(BadProblem, heads_not_a_multiple) {
    expect_user_error([] { bind("full", sized(1, 6, 4)); }, {"heads is 6, kv-heads is 4", "multiple"});
}

TEST(BadProblem, unknown_scalar) {
    Problem problem = sized(1, 1, 1);
    problem.scalars["caps"] = 20;
    expect_user_error([&] { bind("softcap", problem); }, {"softcap has no scalar or setting caps", "did you mean cap?"});
}

TEST(BadProblem, scalar_out_of_range) {
    Problem problem = sized(1, 1, 1);
    problem.scalars["cap"] = 100;
    expect_user_error([&] { bind("softcap", problem); }, {"scalar cap is 100", "[0.001, 40]"});
}

TEST(BadProblem, heads_checked_when_run) {
    // The algorithm itself demands it too, for callers of the compiled library.
    Instance instance = build("full", {{"dtype", "fp32"}, {"head_dim", "4"}});
    Problem problem = sized(1, 6, 3);
    bind_inputs(instance, problem);
    instance.input("k")->set_buffer(Halide::Buffer<float>(4, 5, 4, 1));
    std::vector<Halide::Buffer<>> out = make_outputs(instance, instance.outputs, problem);
    try {
        instance.pipeline.realize(Halide::Realization(out));
        ADD_FAILURE() << "no error";
    } catch (const Halide::RuntimeError &e) {
        EXPECT_NE(std::string(e.what()).find("must be a multiple"), std::string::npos) << e.what();
    }
}
