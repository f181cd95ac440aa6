#include "Dependence.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

Expr thread_column() {
    return Variable::make(Int(32), thread_column_name);
}

bool is_quotient(const Expr &e) {
    const Div *div = e.as<Div>();
    const Mod *mod = e.as<Mod>();
    const Expr by = div ? div->b : mod ? mod->b : Expr();
    return by.defined() && e.type() == Int(32) && !is_const_power_of_two_integer(by);
}

Type word_type(Type t) {
    return t.is_float() ? Float(32) : t.bits() < 32 ? Int(32) : t;
}

bool is_integer_work(const Expr &e) {
    const Call *call = e.as<Call>();
    const bool bits = call && e.type() == Int(32) &&
                      call->is_intrinsic({Call::bitwise_and, Call::bitwise_or, Call::bitwise_xor, Call::bitwise_not,
                                          Call::shift_left, Call::shift_right});
    return bits || is_quotient(e);
}

bool is_costly(const Expr &e) {
    class Find : public IRVisitor {
        using IRVisitor::visit;
        void visit(const Div *op) override {
            found |= op->type.is_int_or_uint();
            IRVisitor::visit(op);
        }
        void visit(const Mod *op) override {
            found = true;
            IRVisitor::visit(op);
        }
        void visit(const Call *op) override {
            found |= op->call_type == Call::Image || is_integer_work(op);
            IRVisitor::visit(op);
        }
        void visit(const Variable *op) override {
            found |= op->name.compare(0, 8, "$element") == 0;
        }

    public:
        bool found = false;
    } find;
    e.accept(&find);
    return find.found;
}

namespace {

class FindDependence : public IRVisitor {
    using IRVisitor::visit;
    const TileProgram &program;
    const std::set<std::string> &parts;

    void visit(const Variable *op) override {
        const std::string &name = op->name;
        const std::string &query = program.query.name, &stream = program.stream.name;
        if (parts.count(name)) {
            found.state = found.row = found.fragment = true;
        } else if (program.has_value(name)) {
            const TileValue &v = program.value(name);
            found.state = true;
            found.row = true;
            found.fragment |= v.dims.size() > 1;
        } else if (name == stream) {
            found.column = found.state = true;
        } else if (name == stream + ".lo" || name == stream + ".hi") {
            found.state = true;
        } else if (name == query) {
            found.row = found.block = true;
        } else if (name == query + ".lo" || name == query + ".hi") {
            found.block = true;
        } else if (name == stream + ".float" || name == offset_name || name == offset_name + ".float") {
            found.column = found.state = true;
        } else if (name == thread_column_name) {
            found.row = found.state = true;
        } else {
            for (const Axis &a : program.grid) {
                found.block |= a.name == name;
            }
            for (const Axis &a : program.columns) {
                found.column |= a.name == name;
            }
        }
    }

public:
    Dependence found;
    FindDependence(const TileProgram &program, const std::set<std::string> &parts)
        : program(program), parts(parts) {
    }
};

}  // namespace

Dependence dependence_of(const Expr &e, const TileProgram &program, const std::set<std::string> &parts) {
    FindDependence finder(program, parts);
    e.accept(&finder);
    return finder.found;
}

}  // namespace strobe::cuda
