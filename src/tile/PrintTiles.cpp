#include "PrintTiles.h"

#include "PrintExpr.h"

#include <set>

namespace strobe {

namespace {

std::string joined(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &n : names) {
        text += (text.empty() ? "" : ", ") + n;
    }
    return text;
}

std::string shape_text(const TileValue &value) {
    std::vector<std::string> dims;
    for (const TileDim &d : value.dims) {
        dims.push_back(d.axis + ":" + std::to_string(d.size));
    }
    return dims.empty() ? "" : "[" + joined(dims) + "]";
}

std::string right_side(const TileOp &op) {
    switch (op.kind) {
    case TileOp::Kind::Load:
        return "load " + expr_text(op.expr);
    case TileOp::Kind::Contract:
        return "contract(" + op.axis + ": " + op.a + ", " + op.b + ")";
    case TileOp::Kind::Reduce:
        return std::string(name_of(op.op)) + "(" + op.axis + ": " + expr_text(op.expr) + ")";
    case TileOp::Kind::Scan:
        return std::string("scan ") + name_of(op.op) + "(" + op.axis + ": " + expr_text(op.expr) + ")";
    case TileOp::Kind::Fill:
    case TileOp::Kind::Map:
    case TileOp::Kind::Store:
        return expr_text(op.expr);
    }
    return "?";
}

std::string left_side(const TileOp &op, const std::string &shape, const std::string &condition = "if partial: ") {
    std::string text = op.when == TileOp::When::Partial ? condition : "";
    if (op.kind == TileOp::Kind::Store) {
        return text + "store " + op.dst + "[" + joined(op.out_axes) + "]";
    }
    return text + op.dst + shape;
}

/** The op with the pass' guard written as "live". */
TileOp guard_named(const TileOp &op, const Expr &guard) {
    const auto *select = op.expr.defined() ? op.expr.as<Halide::Internal::Select>() : nullptr;
    if (!select || !guard.defined() || !Halide::Internal::graph_equal(select->condition, guard)) {
        return op;
    }
    TileOp named = op;
    const Expr live = Halide::Internal::Variable::make(Halide::Bool(), "live");
    named.expr = Halide::Internal::Select::make(live, select->true_value, select->false_value);
    return named;
}

class Listing {
    std::ostream &out;
    const TileProgram &program;
    std::set<std::string> shown;  // values whose shape has been printed

    void line(int indent, const std::string &left, const std::string &right, const std::string &remark = "") {
        std::string text = std::string(indent, ' ') + left;
        text.resize(std::max<size_t>(text.size(), indent + 22), ' ');
        text += " " + right;
        if (!remark.empty()) {
            text.resize(std::max<size_t>(text.size(), 76), ' ');
            text += "  " + remark;
        }
        out << text << "\n";
    }

    void ops(int indent, const std::vector<TileOp> &list, const Expr &guard = Expr(),
             const std::string &condition = "if partial: ") {
        for (const TileOp &op : list) {
            std::string shape, remark;
            if (op.kind != TileOp::Kind::Store && shown.insert(op.dst).second) {
                const TileValue &v = program.value(op.dst);
                shape = shape_text(v);
                remark = type_text(v.type) + ", " + name_of(v.place);
            }
            if (!op.note.empty()) {
                remark += (remark.empty() ? "" : "; ") + op.note;
            }
            const bool adds = op.kind == TileOp::Kind::Contract && op.accumulate;
            line(indent, left_side(op, shape, condition), (adds ? "+= " : "= ") + right_side(guard_named(op, guard)), remark);
        }
    }

    void mask(const MaskVerdict &m) {
        if (m.guard.defined()) {
            line(4, "live:", expr_text(m.guard));
        }
        for (const Summary &s : m.summaries) {
            line(4, "summary " + s.name + ":", "min, max of " + expr_text(s.load) + " over " + s.axis);
        }
        if (!m.contiguous) {
            line(4, "dead:", expr_text(m.dead));
        }
        line(4, "full:", expr_text(m.full));
    }

    std::string stream_bounds(const MaskVerdict &m) {
        const Axis &s = program.stream;
        const std::string begin = expr_text(m.begin.defined() ? m.begin : s.min);
        const std::string end = expr_text(m.end.defined() ? m.end : Halide::Internal::simplify(s.min + s.extent));
        return "[" + begin + ", " + end + ")";
    }

public:
    Listing(std::ostream &out, const TileProgram &program) : out(out), program(program) {
    }

    void print() {
        out << "program " << program.name << "\n";
        out << "block (" << program.query.name << " by " << program.query_tile
            << (program.query_descending ? " descending" : "");
        for (const Axis &a : program.grid) {
            out << ", " << a.name;
            if (const auto points = program.points.find(a.name); points != program.points.end()) {
                out << " by " << points->second;
            }
        }
        out << ")\n";
        for (const StreamPass &pass : program.passes) {
            if (pass.started.defined()) {
                line(2, "started:", expr_text(pass.started));
            }
            ops(2, pass.prologue, Expr(), "if started: ");
            out << "  stream " << program.stream.name << " by " << program.stream_tile << " in "
                << stream_bounds(pass.mask)
                << (program.parts > 1 ? ", in " + std::to_string(program.parts) + " parts" : "") << "\n";
            mask(pass.mask);
            ops(4, pass.step, pass.mask.guard);
            if (!pass.merge.empty()) {
                out << "  merge the parts\n";
                ops(4, pass.merge);
            }
            ops(2, pass.epilogue);
        }
    }
};

}  // namespace

std::string op_text(const TileOp &op) {
    const bool adds = op.kind == TileOp::Kind::Contract && op.accumulate;
    return left_side(op, "") + (adds ? " += " : " = ") + right_side(op);
}

std::ostream &operator<<(std::ostream &stream, const TileProgram &program) {
    if (program.ahead) {
        stream << program.ahead->program << "then each " << program.ahead->chunk.name << " adds those before it, in order\n";
    }
    Listing(stream, program).print();
    return stream;
}

}  // namespace strobe
