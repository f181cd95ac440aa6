// Each test breaks a well-formed program in one way and expects the verifier to say which.
#include "HandMade.h"

#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

#include <gtest/gtest.h>

#include "support/Error.h"

using namespace strobe;
using namespace strobe::test;

namespace {

TileProgram causal_program() {
    HandMade a(Halide::Float(32), {16, 16, 1, 1, 1, 4, 3}, 8, 8);
    a.softmax(a.scores() * a.scale, a.causal());
    return a.build();
}

TileOp &find_op(std::vector<TileOp> &ops, TileOp::Kind kind, const std::string &dst) {
    for (TileOp &op : ops) {
        if (op.kind == kind && op.dst == dst) {
            return op;
        }
    }
    throw std::runtime_error("no such op of " + dst);
}

void remove_op(std::vector<TileOp> &ops, TileOp::Kind kind, const std::string &dst) {
    const TileOp *op = &find_op(ops, kind, dst);
    ops.erase(ops.begin() + (op - ops.data()));
}

TileValue &find_value(TileProgram &p, const std::string &name) {
    for (TileValue &v : p.values) {
        if (v.name == name) {
            return v;
        }
    }
    throw std::runtime_error("no value " + name);
}

using Kind = TileOp::Kind;

struct Breakage {
    const char *name;
    std::function<void(TileProgram &)> apply;
    const char *message;
};

const Breakage breakages[] = {
    {"UndefinedValue", [](TileProgram &p) { remove_op(p.passes[0].prologue, Kind::Fill, "%p0"); },
     "%p0 is used before it is defined"},
    {"MissingLoad", [](TileProgram &p) { remove_op(p.passes[0].step, Kind::Load, "%k"); },
     "%k is used before it is defined"},
    {"AccumulatorNeverFilled", [](TileProgram &p) { remove_op(p.passes[0].prologue, Kind::Fill, "%m1"); },
     "%m1 is used before it is defined"},
    {"LeakFromTheWalk",
     [](TileProgram &p) { find_op(p.passes[0].epilogue, Kind::Store, "lse").expr = value_variable("%n0"); },
     "%n0 is used before it is defined"},
    {"StoreMissing", [](TileProgram &p) { remove_op(p.passes[0].epilogue, Kind::Store, "lse"); },
     "the output lse is never stored"},
    {"StoreTwice", [](TileProgram &p) { p.passes[0].epilogue.push_back(p.passes[0].epilogue.back()); },
     "the output is stored twice"},
    {"StoreInTheWalk", [](TileProgram &p) { p.passes[0].step.push_back(p.passes[0].epilogue.back()); },
     "a store inside the walk"},
    {"StoreOfAnotherOutput", [](TileProgram &p) { find_op(p.passes[0].epilogue, Kind::Store, "lse").dst = "lsd"; },
     "there is no output lsd"},
    {"StoreWithoutAnAxis",
     [](TileProgram &p) {
         find_op(p.passes[0].epilogue, Kind::Store, "out").out_axes = {"i", "h", "b"};
     },
     "its axes are not the output's"},
    {"StoreOfAnotherType",
     [](TileProgram &p) {
         find_op(p.passes[0].epilogue, Kind::Store, "lse").expr = Halide::cast<double>(value_variable("%m0"));
     },
     "the expression is float64, its destination float32"},
    {"ColumnInARow", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Map, "%n0").expr = value_variable("%e0"); },
     "%e0 has an axis j that its user lacks"},
    {"AxisWithoutValue",
     [](TileProgram &p) { find_op(p.passes[0].step, Kind::Map, "%n0").expr = Halide::cast<float>(axis_variable("j")); },
     "the axis j has no value here"},
    {"UnknownValue",
     [](TileProgram &p) { find_op(p.passes[0].step, Kind::Map, "%n0").expr = value_variable("%nowhere"); },
     "there is no value %nowhere"},
    {"UndeclaredDestination", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Map, "%n0").dst = "%x"; },
     "there is no value %x"},
    {"ContractWrongAxis", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Contract, "%scores").axis = "j"; },
     "an operand lacks the contracted axis j"},
    {"ContractSameOperand", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Contract, "%scores").b = "%q"; },
     "both operands have the axis i"},
    {"ContractSwapped",
     [](TileProgram &p) {
         TileOp &op = find_op(p.passes[0].step, Kind::Contract, "%scores");
         std::swap(op.a, op.b);
     },
     "rows come from the first operand"},
    {"ContractDestination", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Contract, "%scores").dst = "%m1"; },
     "the destination does not have the operands' other axes"},
    {"ContractWithoutOperandType",
     [](TileProgram &p) { find_op(p.passes[0].step, Kind::Contract, "%m1").operand_type = Halide::Int(32); },
     "it has no operand type"},
    {"ContractSizes", [](TileProgram &p) { find_value(p, "%k").dims[1].size = 5; },
     "the operands differ in the size of d"},
    {"ReduceKeepsAxis", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Reduce, "%t0").axis = "i"; },
     "the destination has the reduced axis i"},
    {"PartialUpdate", [](TileProgram &p) { find_op(p.passes[0].step, Kind::Map, "%m0").when = TileOp::When::Partial; },
     "must be dst = select(guard, dst, constant)"},
    {"PartialReduce",
     [](TileProgram &p) { find_op(p.passes[0].step, Kind::Reduce, "%t0").when = TileOp::When::Partial; },
     "only a Map can be left out of full tiles"},
    {"PartialWithAnotherGuard",
     [](TileProgram &p) {
         for (TileOp &op : p.passes[0].step) {
             if (op.when == TileOp::When::Partial) {
                 op.expr = Halide::select(axis_variable("j") < axis_variable("i"), value_variable("%e0"), -INFINITY);
             }
         }
     },
     "must be dst = select(guard, dst, constant)"},
    {"PartialWithoutMask",
     [](TileProgram &p) {
         p.passes[0].mask.guard = Expr();
         p.passes[0].mask.dead = Halide::Internal::const_false();
         p.passes[0].mask.full = Halide::Internal::const_true();
     },
     "the pass has no mask"},
    {"VerdictWithoutGuard", [](TileProgram &p) { p.passes[0].mask.guard = Expr(); }, "a verdict without a guard"},
    {"VerdictUndefined", [](TileProgram &p) { p.passes[0].mask.full = Expr(); }, "dead and full must be defined"},
    {"VerdictOverElements", [](TileProgram &p) { p.passes[0].mask.dead = axis_variable("j") > 3; },
     "the axis j has no value here"},
    {"VerdictOverValues", [](TileProgram &p) { p.passes[0].mask.dead = value_variable("%m0") > 0; },
     "a verdict reads the tile value %m0"},
    {"BoundOverItsOwnTile", [](TileProgram &p) { p.passes[0].mask.end = axis_variable("j.hi"); },
     "a bound of the stream depends on its tile"},
    {"LoadOfAnExpression", [](TileProgram &p) { find_op(p.passes[0].prologue, Kind::Load, "%q").expr = 1.0f; },
     "a load takes one input element"},
    {"FillWithAnExpression",
     [](TileProgram &p) {
         find_op(p.passes[0].prologue, Kind::Fill, "%m0").expr = Halide::cast<float>(axis_variable("i"));
     },
     "a fill takes a constant"},
    {"StreamOutsideTheWalk",
     [](TileProgram &p) { p.passes[0].prologue.push_back(find_op(p.passes[0].step, Kind::Load, "%k")); },
     "a value over the stream outside of the walk"},
    {"DeclaredTwice", [](TileProgram &p) { p.values.push_back(p.values[0]); }, "is declared twice"},
    {"WrongTile", [](TileProgram &p) { find_value(p, "%k").dims[0].size = 16; }, "%k has 16 of j, a tile has 8"},
    {"UnknownAxis", [](TileProgram &p) { find_value(p, "%k").dims[1].axis = "z"; }, "%k has an unknown axis z"},
    {"FragmentOfOneDimension", [](TileProgram &p) { find_value(p, "%m0").place = Place::Fragment; },
     "%m0 is a fragment, which has two dimensions"},
    {"RowOfAMatrix", [](TileProgram &p) { find_value(p, "%e0").place = Place::Row; }, "%e0 is a row value"},
    {"NoPass", [](TileProgram &p) { p.passes.clear(); }, "it has no pass"},
};

void PrintTo(const Breakage &b, std::ostream *out) {
    *out << b.name;
}

class BadProgram : public testing::TestWithParam<Breakage> {};

TEST_P(BadProgram, IsRefused) {
    TileProgram program = causal_program();
    verify_tiles(program);
    GetParam().apply(program);
    try {
        verify_tiles(program);
        FAIL() << "the verifier accepts\n" << program;
    } catch (const InternalError &e) {
        EXPECT_NE(std::string(e.what()).find(GetParam().message), std::string::npos)
            << "expected: " << GetParam().message << "\ngot: " << e.what();
    }
}

INSTANTIATE_TEST_SUITE_P(Verifier, BadProgram, testing::ValuesIn(breakages),
                         [](const testing::TestParamInfo<Breakage> &info) { return info.param.name; });

TEST(BadProgram, MessagePrintsTheOp) {
    TileProgram program = causal_program();
    find_op(program.passes[0].step, Kind::Map, "%n0").expr = value_variable("%nowhere");
    try {
        verify_tiles(program);
        FAIL() << "the verifier accepts\n" << program;
    } catch (const InternalError &e) {
        EXPECT_NE(std::string(e.what()).find("hand_made, step: %n0 = %nowhere"), std::string::npos) << e.what();
    }
}

}  // namespace
