#include "VerifyTiles.h"

#include "PrintExpr.h"
#include "PrintTiles.h"
#include "SharePoints.h"
#include "support/Error.h"

#include <algorithm>
#include <set>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool ends_with(const std::string &name, const std::string &end) {
    return name.size() > end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

/** Every Variable of an Expr, once. */
class Variables : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    void visit(const Variable *op) override {
        list.push_back(op);
    }

public:
    std::vector<const Variable *> list;
    explicit Variables(const Expr &e) {
        if (e.defined()) {
            e.accept(this);
        }
    }
};

class Verifier {
    const TileProgram &program;
    std::set<std::string> defined;  // tile values that hold something
    std::set<std::string> stored;
    const TileOp *current = nullptr;
    std::string where;

    [[noreturn]] void fail(const std::string &what) const {
        strobe_internal_error() << "tile program " << program.name << ", " << where
                                << (current ? ": " + op_text(*current) : "") << ": " << what;
    }
    void check(bool condition, const std::string &what) const {
        if (!condition) {
            fail(what);
        }
    }

    bool is_axis(const std::string &name) const;
    void check_declarations();
    void check_place(const TileValue &v);
    void check_expr(const Expr &e, const std::set<std::string> &axes, bool corners);
    void check_type(Type got, Type expected);
    std::set<std::string> axes_of_value(const std::string &name) const;
    void check_contract(const TileOp &op);
    void check_partial(const TileOp &op, const StreamPass &pass);
    void check_store(const TileOp &op, bool last_epilogue);
    void check_op(const TileOp &op, const StreamPass &pass, bool in_step, bool last_epilogue);
    void check_mask(const MaskVerdict &mask);
    void check_pass(const StreamPass &pass, bool last);

public:
    explicit Verifier(const TileProgram &program) : program(program) {
    }
    void verify();
};

bool Verifier::is_axis(const std::string &name) const {
    const auto same = [&](const Axis &a) { return a.name == name; };
    return program.query.name == name || program.stream.name == name ||
           std::any_of(program.grid.begin(), program.grid.end(), same) ||
           std::any_of(program.columns.begin(), program.columns.end(), same);
}

void Verifier::check_place(const TileValue &v) {
    const bool rows = !v.dims.empty() && v.dims[0].axis == program.query.name;
    switch (v.place) {
    case Place::Shared:
        return;
    case Place::Fragment:
        check(v.dims.size() == 2, v.name + " is a fragment, which has two dimensions");
        return;
    case Place::Row:
        check(v.dims.size() == 1 && rows, v.name + " is a row value, whose one axis is " + program.query.name);
        return;
    case Place::Column:
        check(v.dims.size() == 1 && !rows, v.name + " is a column value, whose one axis is not " + program.query.name);
        return;
    case Place::Uniform:
        check(v.dims.empty(), v.name + " is uniform, so it has no axis");
        return;
    }
}

void Verifier::check_declarations() {
    where = "declarations";
    check(program.query_tile > 0 && program.stream_tile > 0, "tile sizes must be positive");
    check(program.query.name != program.stream.name, "the query axis is the stream");
    std::set<std::string> names;
    for (const TileValue &v : program.values) {
        check(names.insert(v.name).second, v.name + " is declared twice");
        std::set<std::string> axes;
        for (const TileDim &d : v.dims) {
            check(is_axis(d.axis), v.name + " has an unknown axis " + d.axis);
            check(axes.insert(d.axis).second, v.name + " has the axis " + d.axis + " twice");
            check(d.size > 0, v.name + " has an empty dimension");
            const int tile = d.axis == program.query.name    ? program.query_tile
                             : d.axis == program.stream.name ? program.stream_tile
                                                             : d.size;
            check(d.size == tile,
                  v.name + " has " + std::to_string(d.size) + " of " + d.axis + ", a tile has " + std::to_string(tile));
        }
        check_place(v);
    }
}

std::set<std::string> Verifier::axes_of_value(const std::string &name) const {
    check(program.has_value(name), "there is no value " + name);
    std::set<std::string> axes;
    for (const TileDim &d : program.value(name).dims) {
        axes.insert(d.axis);
    }
    return axes;
}

void Verifier::check_type(Type got, Type expected) {
    check(got == expected, "the expression is " + type_text(got) + ", its destination " + type_text(expected));
}

/** \p axes: where the Expr is evaluated. \p corners: corners and summaries may be used, elements not. */
void Verifier::check_expr(const Expr &e, const std::set<std::string> &axes, bool corners) {
    check(e.defined(), "it has no expression");
    for (const Variable *v : Variables(e).list) {
        if (v->param.defined()) {
            continue;
        }
        const bool on_grid =
            std::any_of(program.grid.begin(), program.grid.end(), [&](const Axis &a) { return a.name == v->name; });
        if (program.has_value(v->name)) {
            check(!corners, "a verdict reads the tile value " + v->name);
            check(defined.count(v->name), v->name + " is used before it is defined");
            check(v->type == program.value(v->name).type, v->name + " is used as " + type_text(v->type));
            for (const std::string &a : axes_of_value(v->name)) {
                check(axes.count(a), v->name + " has an axis " + a + " that its user lacks");
            }
        } else if (is_axis(v->name) && !on_grid) {
            check(axes.count(v->name), "the axis " + v->name + " has no value here");
        } else if (!on_grid && !v->name.empty() && v->name[0] == '%') {
            check(corners && (ends_with(v->name, ".min") || ends_with(v->name, ".max")),
                  "there is no value " + v->name);
        }
    }
}

void Verifier::check_contract(const TileOp &op) {
    std::set<std::string> a = axes_of_value(op.a), b = axes_of_value(op.b), dst = axes_of_value(op.dst);
    for (const std::string &operand : {op.a, op.b}) {
        check(defined.count(operand), operand + " is used before it is defined");
        check(operand != op.dst, "it reads its destination");
    }
    if (has_matrix_for_each_row(program, op)) {
        b.erase(program.value(op.dst).dims[0].axis);
    }
    check(a.size() == 2 && b.size() == 2, "operands of a contraction are matrices");
    check(a.count(op.axis) && b.count(op.axis), "an operand lacks the contracted axis " + op.axis);
    a.erase(op.axis);
    b.erase(op.axis);
    check(a != b, "both operands have the axis " + *a.begin());
    a.insert(b.begin(), b.end());
    check(a == dst, "the destination does not have the operands' other axes");
    check(program.value(op.dst).dims[0].axis != *b.begin(), "rows come from the first operand");
    check(op.operand_type.is_float(), "it has no operand type");
    check(program.value(op.dst).type.is_float(), "it accumulates in " + type_text(program.value(op.dst).type));
    check(!op.accumulate || defined.count(op.dst), op.dst + " is added to before it is defined");
    const auto size_in = [&](const std::string &name) {
        const std::vector<TileDim> &dims = program.value(name).dims;
        return std::find_if(dims.begin(), dims.end(), [&](const TileDim &d) { return d.axis == op.axis; })->size;
    };
    check(size_in(op.a) == size_in(op.b), "the operands differ in the size of " + op.axis);
}

/** Only masking: what is skipped in a full tile must change nothing there. */
void Verifier::check_partial(const TileOp &op, const StreamPass &pass) {
    check(op.kind == TileOp::Kind::Map, "only a Map can be left out of full tiles");
    check(pass.mask.guard.defined(), "the pass has no mask, so no tile is partial");
    const Select *s = op.expr.as<Select>();
    const Variable *kept = s ? s->true_value.as<Variable>() : nullptr;
    check(s && graph_equal(s->condition, pass.mask.guard) && kept && kept->name == op.dst && is_const(s->false_value),
          "an op for partial tiles must be dst = select(guard, dst, constant)");
}

void Verifier::check_store(const TileOp &op, bool last_epilogue) {
    check(last_epilogue, "outputs are stored after the last walk");
    const auto output =
        std::find_if(program.outputs.begin(), program.outputs.end(), [&](const Output &o) { return o.name == op.dst; });
    check(output != program.outputs.end(), "there is no output " + op.dst);
    check(op.out_axes == output->axes, "its axes are not the output's");
    check(stored.insert(op.dst).second, "the output is stored twice");
    check_type(op.expr.type(), output->type);
    check_expr(op.expr, std::set<std::string>(op.out_axes.begin(), op.out_axes.end()), false);
}

void Verifier::check_op(const TileOp &op, const StreamPass &pass, bool in_step, bool last_epilogue) {
    current = &op;
    if (op.kind == TileOp::Kind::Store) {
        check_store(op, last_epilogue);
        current = nullptr;
        return;
    }
    std::set<std::string> axes = axes_of_value(op.dst);
    check(in_step || !axes.count(program.stream.name), "a value over the stream outside of the walk");
    const TileValue &dst = program.value(op.dst);
    if (op.when == TileOp::When::Partial && !in_step && pass.started.defined()) {
        check(op.kind == TileOp::Kind::Load || defined.count(op.dst), op.dst + " is left undefined where rows start from nothing");
    } else if (op.when == TileOp::When::Partial) {
        check(in_step, "only tiles of the stream can be partial");
        check_partial(op, pass);
    }
    if (op.kind == TileOp::Kind::Contract) {
        check_contract(op);
    } else {
        if (op.kind == TileOp::Kind::Reduce) {
            check(!axes.count(op.axis), "the destination has the reduced axis " + op.axis);
            check(is_axis(op.axis), "there is no axis " + op.axis);
            axes.insert(op.axis);
        } else if (op.kind == TileOp::Kind::Scan) {
            check(axes.count(op.axis), "the destination lacks the scanned axis " + op.axis);
        } else if (op.kind == TileOp::Kind::Load) {
            const Call *call = op.expr.as<Call>();
            check(call && call->call_type == Call::Image, "a load takes one input element");
        } else if (op.kind == TileOp::Kind::Fill) {
            check(is_const(op.expr), "a fill takes a constant");
        }
        check_expr(op.expr, axes, false);
        check_type(op.expr.type(), dst.type);
    }
    defined.insert(op.dst);
    current = nullptr;
}

void Verifier::check_mask(const MaskVerdict &mask) {
    where = "mask";
    const std::string &i = program.query.name, &j = program.stream.name;
    check(mask.dead.defined() && mask.full.defined(), "dead and full must be defined");
    check(mask.dead.type().is_bool() && mask.full.type().is_bool(), "dead and full must be conditions");
    check(mask.guard.defined() || (is_const_one(mask.full) && is_const_zero(mask.dead)), "a verdict without a guard");
    check_expr(mask.dead, {}, true);
    check_expr(mask.full, {}, true);
    for (const Expr &bound : {mask.begin, mask.end}) {
        if (bound.defined()) {
            check_expr(bound, {}, true);
            for (const Variable *v : Variables(bound).list) {
                check(v->name != j + ".lo" && v->name != j + ".hi", "a bound of the stream depends on its tile");
            }
        }
    }
    for (const Summary &s : mask.summaries) {
        check(s.axis == i || s.axis == j, "the summary " + s.name + " is over " + s.axis);
        check_expr(s.load, {s.axis}, false);
    }
}

void Verifier::check_pass(const StreamPass &pass, bool last) {
    check_mask(pass.mask);
    if (pass.started.defined()) {
        where = "started";
        check(program.ahead != nullptr, "rows start from sums that nothing makes");
        check_expr(pass.started, {}, true);
    }
    where = "prologue";
    for (const TileOp &op : pass.prologue) {
        check_op(op, pass, false, false);
    }
    // The first tile sees what the prologue left; what later tiles could see more
    // than that is per tile and must be set anew. So one walk proves them all.
    const std::set<std::string> before = defined;
    where = "step";
    for (const TileOp &op : pass.step) {
        check(op.kind != TileOp::Kind::Store, "a store inside the walk");
        check_op(op, pass, true, false);
    }
    if (pass.mask.guard.defined()) {
        check_expr(pass.mask.guard, {program.query.name, program.stream.name}, false);
    }
    defined = before;  // no tile may have been visited
    where = "merge";
    for (const std::string &name : pass.state) {
        check(defined.count(name), name + " is merged, and not set before the walk");
        check(axes_of_value(name) == axes_of_value(other_part(name)), "the parts' " + name + " differ in shape");
        check(program.value(name).type == program.value(other_part(name)).type, "the parts' " + name + " differ in type");
        defined.insert(other_part(name));
    }
    for (const TileOp &op : pass.merge) {
        check_op(op, pass, false, false);
    }
    where = "epilogue";
    for (const TileOp &op : pass.epilogue) {
        check_op(op, pass, false, last);
    }
}

void Verifier::verify() {
    check_declarations();
    where = "program";
    check(!program.passes.empty(), "it has no pass");
    check(program.parts >= 1 && (program.parts == 1 || program.passes.size() == 1), "parts of several walks");
    for (size_t i = 0; i < program.passes.size(); i++) {
        check_pass(program.passes[i], i + 1 == program.passes.size());
    }
    where = "program";
    for (const Output &o : program.outputs) {
        check(stored.count(o.name), "the output " + o.name + " is never stored");
    }
}

}  // namespace

void verify_tiles(const TileProgram &program) {
    if (program.ahead) {
        verify_tiles(program.ahead->program);
    }
    Verifier(program).verify();
}

}  // namespace strobe
