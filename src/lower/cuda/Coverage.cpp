#include "Coverage.h"

#include "Prepare.h"
#include "schedule/Workload.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

template<typename... Parts>
std::string text(const Parts &...parts) {
    std::ostringstream s;
    (s << ... << parts);
    return s.str();
}

/** Finds tile values that are in shared memory, and types that registers do not hold. */
class FindUnfit : public IRVisitor {
    using IRVisitor::visit;
    const TileProgram &program;

    void visit(const Variable *op) override {
        if (!op->param.defined() && program.has_value(op->name) && program.value(op->name).place == Place::Shared) {
            found = "the elements of " + op->name + " outside of a contraction";
        }
        note(op->type);
    }
    void visit(const Call *op) override {
        note(op->type);
        if (op->call_type != Call::Image) {  // an element's index may be wide
            IRVisitor::visit(op);
        }
    }
    void visit(const Cast *op) override {
        note(op->type);
        IRVisitor::visit(op);
    }
    void visit(const Div *op) override {
        note_quotient(op, op->b);
        IRVisitor::visit(op);
    }
    void visit(const Mod *op) override {
        note_quotient(op, op->b);
        IRVisitor::visit(op);
    }
    void note_quotient(const Expr &e, const Expr &by) {
        if (e.type().bits() == 64 && !is_const_power_of_two_integer(by)) {
            found = text("quotients of ", e.type());
        }
    }
    void note(Type t) {
        if (t.is_float() && t.bits() == 64) {
            found = text("arithmetic on ", t);
        }
    }

public:
    std::string found;
    FindUnfit(const TileProgram &program, const Expr &e) : program(program) {
        if (e.defined()) {
            e.accept(this);
        }
    }
};

/** Replaces quotients of the axis by a constant; what is left of the axis is used otherwise. */
class DropQuotients : public IRMutator {
    using IRMutator::visit;
    const std::string &axis;
    const int64_t by;

    Expr visit(const Div *op) override {
        const Variable *v = op->a.as<Variable>();
        return v && v->name == axis && is_const(op->b, by) ? make_zero(op->type) : IRMutator::visit(op);
    }

public:
    DropQuotients(const std::string &axis, int64_t by) : axis(axis), by(by) {
    }
};

class Coverage {
    const TileProgram &program;
    const std::string &query, &stream;

    bool is_column(const std::string &axis) const {
        return std::any_of(program.columns.begin(), program.columns.end(),
                           [&](const Axis &a) { return a.name == axis; });
    }
    bool over(const TileValue &v, const std::string &rows, const std::string &columns) const {
        return v.dims.size() == 2 && v.dims[0].axis == rows &&
               (columns.empty() ? is_column(v.dims[1].axis) : v.dims[1].axis == columns);
    }
    Expr load_of(const std::string &operand) const {
        for (const auto *ops : {&program.passes[0].prologue, &program.passes[0].step}) {
            for (const TileOp &op : *ops) {
                if (op.kind == TileOp::Kind::Load && op.dst == operand) {
                    return op.expr;
                }
            }
        }
        return Expr();
    }
    /** Zeros are behind the operand's features in shared memory. */
    bool is_padded(const std::string &operand, int features) const {
        const Expr load = load_of(operand);
        return load.defined() && (load.as<Variable>() || has_zeros_behind(load, features));
    }
    std::string value_problem(const TileValue &v) const {
        if (v.place == Place::Shared) {
            const bool operand = over(v, query, "") || over(v, stream, "");
            return operand ? "" : "the tile " + v.name + ", which is no matrix of rows or streamed rows";
        }
        const bool fragment = v.type == Float(32) && (over(v, query, stream) || over(v, query, ""));
        const bool row = v.dims.size() == 1 && v.dims[0].axis == query && v.type.bits() == 32;
        return fragment || row ? ""
                               : text("the value ", v.name, " of type ", v.type,
                                      ", which is neither a float32 matrix of rows nor one element a row");
    }
    std::string load_problem(const TileOp &op, bool streamed) const {
        const TileValue &v = program.value(op.dst);
        if (v.type.bits() != 16 || !v.type.is_float()) {
            const Call *call = op.expr.as<Call>();
            return text("the operand ", call ? call->name : op.dst, " of type ", v.type,
                        ": the matrix unit takes bf16 or fp16 here");
        }
        if (v.place != Place::Shared || v.dims[0].axis != (streamed ? stream : query)) {
            return "the load of " + op.dst + " at this place";
        }
        const Call *call = op.expr.as<Call>();
        int features = 0, rows = 0;  // indices that are the axis alone
        for (size_t d = 0; call && d < call->args.size(); d++) {
            const Variable *at = call->args[d].as<Variable>();
            features += at && d == 0 && v.dims.size() == 2 && at->name == v.dims[1].axis;
            rows += at && at->name == v.dims[0].axis;
        }
        const bool paged = call && streamed && pages_of(call, stream, program.stream_tile);
        if (call && (features != 1 || (rows != 1 && !paged))) {
            return "the load of " + call->name + ", whose innermost dimension must be indexed by the features alone " +
                   "and another by " + v.dims[0].axis + " alone";
        }
        return "";
    }
    std::string contract_problem(const TileOp &op) const {
        const TileValue &a = program.value(op.a), &b = program.value(op.b), &dst = program.value(op.dst);
        const bool own_types = b.type == op.operand_type && (a.place != Place::Shared || a.type == op.operand_type);
        const bool scores = !op.accumulate && a.place == Place::Shared && b.place == Place::Shared &&
                            over(a, query, op.axis) && over(b, stream, op.axis) && over(dst, query, stream);
        const bool sum = op.accumulate && a.place == Place::Fragment && b.place == Place::Shared && op.axis == stream &&
                         over(a, query, stream) && over(b, stream, "") && over(dst, query, "") &&
                         b.dims[1].axis == dst.dims[1].axis;
        if (!own_types || (!scores && !sum)) {
            return "the contraction of " + op.a + " with " + op.b;
        }
        const TileDim &features = b.dims[1];
        // Half a step of zeros behind both operands changes nothing.
        const bool padded = is_padded(op.a, features.size) && is_padded(op.b, features.size);
        const int step = scores && !padded ? 16 : 8;
        if (features.size % step != 0) {
            return text(op.dst, scores ? ", which contracts " : ", which has ", features.size,
                        scores ? " elements" : " columns", "; the matrix unit takes multiples of ", step);
        }
        return !scores && features.size > 256 ? text(op.dst, ", which has ", features.size, " columns; 256 is the most")
                                              : "";
    }
    std::string store_problem(const TileOp &op) const {
        int columns = 0, rows = 0;
        for (const std::string &a : op.out_axes) {
            columns += is_column(a);
            rows += a == query;
        }
        const int bits = op.expr.type().bits();
        const bool matrix = columns == 1 && bits == 16 && op.expr.type().is_float() && op.expr.as<Cast>();
        const bool row =
            columns == 0 && (bits == 32 || (bits == 16 && op.expr.type().is_float() && op.expr.as<Cast>()));
        return rows == 1 && (matrix || row) ? "" : text("output ", op.dst, " of type ", op.expr.type());
    }
    std::string op_problem(const TileOp &op, bool in_step) const {
        switch (op.kind) {
        case TileOp::Kind::Load:
            return load_problem(op, in_step);
        case TileOp::Kind::Contract:
            return in_step ? contract_problem(op) : "a contraction outside of the walk, into " + op.dst;
        case TileOp::Kind::Reduce: {
            const bool rows = program.value(op.dst).dims.size() == 1;
            if (!rows || (in_step ? op.axis != stream : !is_column(op.axis))) {
                return "the reduction " + op.dst + " over " + op.axis;
            }
            break;
        }
        case TileOp::Kind::Scan:
            return "the scan " + op.dst + " along " + op.axis;
        case TileOp::Kind::Store:
            if (const std::string problem = store_problem(op); !problem.empty()) {
                return problem;
            }
            break;
        default:
            break;
        }
        return FindUnfit(program, op.expr).found;
    }

public:
    explicit Coverage(const TileProgram &program)
        : program(program), query(program.query.name), stream(program.stream.name) {
    }

    std::string problem() const {
        if (program.passes.size() != 1) {
            return text(program.passes.size(), " passes over ", stream);
        }
        const StreamPass &pass = program.passes[0];
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                if (const std::string problem = op_problem(op, ops == &pass.step); !problem.empty()) {
                    return problem;
                }
            }
        }
        for (const TileValue &v : program.values) {
            if (const std::string problem = value_problem(v); !problem.empty()) {
                return problem;
            }
        }
        const bool contracts = std::any_of(pass.step.begin(), pass.step.end(),
                                           [](const TileOp &op) { return op.kind == TileOp::Kind::Contract; });
        const bool streams = std::any_of(pass.step.begin(), pass.step.end(),
                                         [](const TileOp &op) { return op.kind == TileOp::Kind::Load; });
        return contracts && streams ? "" : "an algorithm without a contraction";
    }
};

}  // namespace

std::optional<Pages> pages_of(const Call *load, const std::string &axis, int tile) {
    Pages pages;
    for (size_t d = 0; d < load->args.size(); d++) {
        const Mod *mod = load->args[d].as<Mod>();
        const Variable *v = mod ? mod->a.as<Variable>() : nullptr;
        const auto by = mod ? as_const_int(mod->b) : std::nullopt;
        if (v && v->name == axis && by && *by > 0 && *by <= 1 << 20) {
            if (pages.rows > 0) {
                return std::nullopt;
            }
            pages = {static_cast<int>(d), static_cast<int>(*by)};
        }
    }
    // A group of eight rows is what the swizzle of shared memory repeats after.
    const bool fits = pages.rows > 0 && (tile % pages.rows == 0 || pages.rows % tile == 0) && pages.rows % 8 == 0;
    if (!fits) {
        return std::nullopt;
    }
    for (size_t d = 0; d < load->args.size(); d++) {
        const bool other = static_cast<int>(d) != pages.dim;
        if (other && expr_uses_var(DropQuotients(axis, pages.rows).mutate(load->args[d]), axis)) {
            return std::nullopt;
        }
    }
    return pages;
}

std::optional<std::string> outside_of_form(const TileProgram &program) {
    const std::string problem = Coverage(prepare_operands(program).program).problem();
    return problem.empty() ? std::nullopt : std::optional<std::string>(problem);
}

}  // namespace strobe::cuda
