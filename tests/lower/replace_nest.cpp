// Replacing a pipeline's loop nest keeps Halide's checks and bounds queries.

#include "lower/ReplaceNest.h"

#include "CpuHarness.h"
#include "support/Error.h"

using namespace Halide;
using namespace Halide::Internal;
using namespace strobe;
using namespace strobe::test;

namespace {

std::vector<Func> causal(Inputs &in) {
    return in.attend(where(strobe::causal(in.i, in.j), in.score()));
}

TEST(ReplaceNest, replaces_all_outputs_at_once) {
    Stmt store = Store::make("out", 1.0f, 0, Parameter(), const_true(), ModulusRemainder());
    Stmt body = Block::make(ProducerConsumer::make_produce("out", store), ProducerConsumer::make_produce("lse", store));
    Stmt checked = Block::make(AssertStmt::make(Variable::make(Bool(), "checked"), Expr(0)), body);
    Stmt nest = Evaluate::make(42);
    std::ostringstream text;
    text << replace_nest(checked, nest);
    EXPECT_NE(text.str().find("42"), std::string::npos) << text.str();
    EXPECT_NE(text.str().find("checked"), std::string::npos) << text.str();
    EXPECT_EQ(text.str().find("out"), std::string::npos) << text.str();
}

TEST(ReplaceNest, refuses_a_statement_without_a_nest) {
    EXPECT_THROW(replace_nest(Evaluate::make(0), Evaluate::make(1)), strobe::InternalError);
}

TEST(ReplaceNest, answers_bounds_queries) {
    CpuProgram program(causal, Float(32), 8, 4, 16, 16);
    Inputs &in = program.given();
    in.k.set(Buffer<float>(8, 21, 1, 2));
    in.v.set(Buffer<float>(4, 21, 1, 2));
    in.document.set(Buffer<int>(1, 1));
    in.q.reset();
    Buffer<float> out(4, 13, 1, 2), lse(13, 1, 2);
    program.compiled().infer_input_bounds(Realization({out, lse}));
    const Buffer<> q = in.q.get();
    ASSERT_TRUE(q.defined());
    EXPECT_EQ(q.dim(0).extent(), 8);
    EXPECT_EQ(q.dim(1).extent(), 13);
    EXPECT_EQ(q.dim(2).extent(), 1);
    EXPECT_EQ(q.dim(3).extent(), 2);
}

TEST(ReplaceNest, keeps_the_checks_of_buffers) {
    CpuProgram program(causal, Float(32), 8, 4, 16, 16);
    Inputs &in = program.given();
    in.q.set(Buffer<float>(8, 5, 1, 1));
    in.k.set(Buffer<float>(8, 21, 1, 1));
    in.v.set(Buffer<float>(4, 20, 1, 1));
    Buffer<float> out(4, 6, 1, 1), lse(6, 1, 1);
    try {
        program.compiled().realize({out, lse});
        FAIL() << "q has 5 rows, out has 6";
    } catch (const Halide::RuntimeError &e) {
        EXPECT_NE(std::string(e.what()).find("q"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find("beyond the max"), std::string::npos) << e.what();
    }
}

}  // namespace
