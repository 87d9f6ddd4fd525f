//! How deep interfaces nest within interfaces, and in components: found out before the validator sees them, which counts
//! to 127 and ends the whole program beyond it. So only that is looked at here, and what is wrong otherwise is passed over:
//! the validator says so. Where a depth is not known exactly, it is taken for more.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentType, ComponentTypeDeclaration, ComponentTypeRef, InstanceTypeDeclaration, Payload,
    TypeBounds,
};

use super::LoadError;
use crate::limits::engine::INSTANCE_DEPTH_MAX;

/// The depths of what stands in one component, by kind and index.
#[derive(Default)]
struct Frame {
    types: Vec<u32>,
    instances: Vec<u32>,
    components: Vec<u32>,
    /// Of the deepest that it imports or exports.
    most: u32,
    /// What is read within it is a component, and no module.
    holds_component: bool,
}

/// The component that is read, and those around it.
pub(super) struct Depths(Vec<Frame>);

impl Depths {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Looks at the next part of a component, before it is validated.
    pub(super) fn check(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        match payload {
            // Those of modules as well, in which nothing of this stands.
            Payload::Version { .. } => self.0.push(Frame::default()),
            Payload::End(_) => {
                let depth = within(self.0.pop().map_or(0, |frame| frame.most) + 1)?;
                if let Some(around) = self.0.last_mut().filter(|frame| frame.holds_component) {
                    around.components.push(depth);
                }
            }
            Payload::ModuleSection { .. } => self.top().holds_component = false,
            Payload::ComponentSection { .. } => self.top().holds_component = true,
            Payload::ComponentTypeSection(entries) => {
                for entry in entries.clone() {
                    let depth = within(self.of_definition(&entry?, &mut Vec::new()))?;
                    self.top().types.push(depth);
                }
            }
            Payload::ComponentInstanceSection(entries) => {
                for entry in entries.clone() {
                    let depth = within(self.of_instance(&entry?))?;
                    self.top().instances.push(depth);
                }
            }
            Payload::ComponentAliasSection(entries) => {
                for entry in entries.clone() {
                    self.alias(&entry?);
                }
            }
            Payload::ComponentImportSection(entries) => {
                for entry in entries.clone() {
                    let ty = entry?.ty;
                    let depth = self.of_reference(ty, &[]);
                    self.passes(ty.kind(), depth);
                }
            }
            Payload::ComponentExportSection(entries) => {
                for entry in entries.clone() {
                    let export = entry?;
                    let depth = self.of(export.kind, export.index);
                    self.passes(export.kind, depth);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn top(&mut self) -> &mut Frame {
        if self.0.is_empty() {
            self.0.push(Frame::default());
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// The component so many further out.
    fn outwards(&self, count: u32) -> Option<&Frame> {
        let last = self.0.len().checked_sub(1)?;
        self.0.get(last.checked_sub(count as usize)?)
    }

    /// Something new of that kind.
    fn add(&mut self, kind: ComponentExternalKind, depth: u32) {
        match kind {
            ComponentExternalKind::Type => self.top().types.push(depth),
            ComponentExternalKind::Instance => self.top().instances.push(depth),
            ComponentExternalKind::Component => self.top().components.push(depth),
            _ => {}
        }
    }

    /// Something is imported or exported, and so known once more.
    fn passes(&mut self, kind: ComponentExternalKind, depth: u32) {
        self.add(kind, depth);
        self.top().most = self.top().most.max(depth);
    }

    fn of(&self, kind: ComponentExternalKind, index: u32) -> u32 {
        let Some(frame) = self.0.last() else { return 0 };
        let all = match kind {
            ComponentExternalKind::Type => &frame.types,
            ComponentExternalKind::Instance => &frame.instances,
            ComponentExternalKind::Component => &frame.components,
            _ => return 0,
        };
        at(all, index)
    }

    fn of_instance(&self, instance: &ComponentInstance<'_>) -> u32 {
        match instance {
            // What it imports counts too: that is more than enough.
            ComponentInstance::Instantiate { component_index, .. } => {
                self.of(ComponentExternalKind::Component, *component_index)
            }
            ComponentInstance::FromExports(exports) => {
                let depths = exports.iter().map(|export| self.of(export.kind, export.index));
                depths.max().unwrap_or(0) + 1
            }
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, .. } => {
                let around = self.of(ComponentExternalKind::Instance, instance_index);
                self.add(kind, around.saturating_sub(1));
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                let depth = self.outwards(count).map_or(0, |frame| at(&frame.types, index));
                self.top().types.push(depth);
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let depth = self.outwards(count).map_or(0, |frame| at(&frame.components, index));
                self.top().components.push(depth);
            }
            ComponentAlias::Outer { .. } | ComponentAlias::CoreInstanceExport { .. } => {}
        }
    }

    /// What a reference is to, within types that are being read, the innermost last.
    fn of_reference(&self, ty: ComponentTypeRef, scopes: &[Vec<u32>]) -> u32 {
        let index = match ty {
            ComponentTypeRef::Instance(index)
            | ComponentTypeRef::Component(index)
            | ComponentTypeRef::Type(TypeBounds::Eq(index)) => index,
            _ => return 0,
        };
        match scopes.last() {
            Some(types) => at(types, index),
            None => self.of(ComponentExternalKind::Type, index),
        }
    }

    fn of_definition(&self, ty: &ComponentType<'_>, scopes: &mut Vec<Vec<u32>>) -> u32 {
        let mut most = 0;
        match ty {
            ComponentType::Instance(declarations) => {
                scopes.push(Vec::new());
                for declaration in declarations {
                    let depth = match declaration {
                        InstanceTypeDeclaration::Type(ty) => self.declared(ty, scopes),
                        InstanceTypeDeclaration::Alias(alias) => self.aliased(alias, scopes),
                        InstanceTypeDeclaration::Export { ty, .. } => self.exported(*ty, scopes),
                        InstanceTypeDeclaration::CoreType(_) => 0,
                    };
                    most = most.max(depth);
                }
            }
            ComponentType::Component(declarations) => {
                scopes.push(Vec::new());
                for declaration in declarations {
                    let depth = match declaration {
                        ComponentTypeDeclaration::Type(ty) => self.declared(ty, scopes),
                        ComponentTypeDeclaration::Alias(alias) => self.aliased(alias, scopes),
                        ComponentTypeDeclaration::Export { ty, .. } => self.exported(*ty, scopes),
                        ComponentTypeDeclaration::Import(import) => {
                            self.exported(import.ty, scopes)
                        }
                        ComponentTypeDeclaration::CoreType(_) => 0,
                    };
                    most = most.max(depth);
                }
            }
            _ => return 0,
        }
        scopes.pop();
        most + 1
    }

    fn declared(&self, ty: &ComponentType<'_>, scopes: &mut Vec<Vec<u32>>) -> u32 {
        let depth = self.of_definition(ty, scopes);
        scopes.last_mut().into_iter().for_each(|types| types.push(depth));
        depth
    }

    fn exported(&self, ty: ComponentTypeRef, scopes: &mut [Vec<u32>]) -> u32 {
        let depth = self.of_reference(ty, scopes);
        if let (ComponentTypeRef::Type(_), Some(types)) = (ty, scopes.last_mut()) {
            types.push(depth);
        }
        depth
    }

    fn aliased(&self, alias: &ComponentAlias<'_>, scopes: &mut [Vec<u32>]) -> u32 {
        let depth = match *alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, count, index } => {
                let further = (count as usize).checked_sub(scopes.len());
                match further.and_then(|count| u32::try_from(count).ok()) {
                    Some(count) => self.outwards(count).map_or(0, |frame| at(&frame.types, index)),
                    None => at(&scopes[scopes.len() - 1 - count as usize], index),
                }
            }
            // Of an instance that is declared here: as deep as any that is.
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. } => {
                scopes.last().and_then(|types| types.iter().max()).copied().unwrap_or(0)
            }
            _ => return 0,
        };
        scopes.last_mut().into_iter().for_each(|types| types.push(depth));
        depth
    }
}

fn at(depths: &[u32], index: u32) -> u32 {
    depths.get(index as usize).copied().unwrap_or(0)
}

fn within(depth: u32) -> Result<u32, LoadError> {
    match depth <= INSTANCE_DEPTH_MAX {
        true => Ok(depth),
        false => {
            let sentence = format!("its interfaces nest deeper than {INSTANCE_DEPTH_MAX}");
            Err(LoadError::Refused(sentence))
        }
    }
}
