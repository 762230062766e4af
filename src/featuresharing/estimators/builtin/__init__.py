"""The estimators that come with the package: every module here has the class of one, whose name is the module's."""
